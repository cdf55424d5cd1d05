// Starts the program under test and ends it again.
import { spawn, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const binary = process.env.TESTED_PORTCULLIS;

// freePort is a port that nobody listens on. It lies below the range from which the system gives ports to connections, or one of
// them could take it before its listener does; and above 10080, the last one that browsers refuse.
export async function freePort() {
	const listen = (port) => new Promise((resolve) => {
		const server = createServer().once("error", () => resolve(undefined)).listen(port, "127.0.0.1", () => server.close(() => resolve(port)));
	});
	for (let i = 0; i < 50; i++) {
		const port = await listen(randomInt(10_100, 32_000));
		if (port) return port;
	}
	throw new Error("no free port on 127.0.0.1");
}

export function passwordHash(password) {
	const made = spawnSync(binary, ["user", "hash"], { input: password + "\n", encoding: "utf8" });
	if (made.status !== 0) throw new Error(`user hash: ${made.stderr}`);
	return made.stdout.trim();
}

// addUser adds a person to a running server.
export function addUser(server, name, password) {
	const added = spawnSync(binary, ["user", "add", name, "--config", server.file], { input: password + "\n", encoding: "utf8" });
	if (added.status !== 0) throw new Error(`user add: ${added.stderr}`);
}

// run starts a command of the program; output collects both streams.
export function run(...args) {
	const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
	const program = { child, output: "", ended: false };
	process.once("exit", () => child.kill("SIGKILL")); // whatever happens to the judge
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { program.output += data; });
	const end = new Promise((resolve) => child.once("exit", (code) => { program.ended = true; resolve(code); }));
	program.stop = async () => {
		child.kill("SIGTERM");
		const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
		const code = await end;
		clearTimeout(timer);
		return code;
	};
	return program;
}

// until waits for a value that is not undefined.
export async function until(what, program, value, seconds = 60) {
	for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; await new Promise((r) => setTimeout(r, 50))) {
		const found = await value();
		if (found !== undefined) return found;
		if (program.ended) break;
	}
	throw new Error(`no ${what}; the program said\n${program.output}`);
}

// serve starts the server with a configuration; issuer and files are filled in.
export async function serve(config) {
	const folder = mkdtempSync(join(tmpdir(), "portcullis-judge-"));
	const issuer = `http://127.0.0.1:${await freePort()}`;
	const file = join(folder, "portcullis.yaml");
	const whole = { issuer, listen: new URL(issuer).host, admin_listen: `127.0.0.1:${await freePort()}`, database: "portcullis.db", admin_socket: "admin.sock", policy: { deadline: "5s" }, ...config };
	writeFileSync(file, JSON.stringify(whole, null, 1), { mode: 0o600 });
	const program = run("serve", "--config", file);
	const stop = program.stop;
	program.stop = async () => {
		const code = await stop();
		rmSync(folder, { recursive: true, force: true });
		return code;
	};
	await until("metadata", program, () => fetch(`${issuer}/.well-known/oauth-authorization-server`).then((r) => r.ok || undefined, () => undefined));
	return Object.assign(program, { issuer, folder, file });
}
