// Runs `conformance authorization` against the program and answers the login that it asks for. Its own exit code is 0
// even when a scenario was skipped, so its result files are counted here.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Person } from "../person.mjs";
import { freePort, passwordHash, serve } from "../program.mjs";
import { check, conclude } from "../result.mjs";

const password = "the judge's own password";
const resource = "http://127.0.0.1:3001/mcp";
const results = join(process.env.JUDGES_ARTIFACTS, "conformance");
rmSync(results, { recursive: true, force: true });

const portcullis = await serve({
	resources: [{ id: resource, name: "Judged server", secret: "secret-of-the-judged-server", scopes: [{ name: "judge:tools.call", description: "Call the tools" }],
		baseline_scopes: ["judge:tools.call"], tools: [] }],
	clients: [{ id: "conformance", name: "Conformance suite", redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: "none" }],
	users: [{ name: "judge", password_hash: passwordHash(password), groups: [] }],
});

// suite runs the suite to its end; the person answers when an authorization URL is printed.
async function suite() {
	const args = ["node_modules/@modelcontextprotocol/conformance/dist/index.js", "authorization", "--url", portcullis.issuer, "--client-id", "conformance",
		"--resource", resource, "-p", String(await freePort()), "-o", results];
	const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
	let text = "";
	let login;
	child.stdout.on("data", (data) => {
		process.stdout.write(data);
		text += data;
		const url = text.match(/^http\S+\/authorize\?\S+$/m);
		if (url && text.indexOf("\n", url.index) > 0) login ??= new Person("judge", password).answer(url[0]).then((callback) => fetch(callback));
	});
	const code = await new Promise((resolve) => child.once("exit", resolve));
	assert.ok(login, "the suite printed no authorization URL");
	await login;
	return code;
}

function readChecks(folder) {
	return readdirSync(folder, { withFileTypes: true, recursive: true }).filter((f) => f.isFile() && f.name === "checks.json")
		.map((f) => ({ scenario: f.parentPath, checks: JSON.parse(readFileSync(join(f.parentPath, f.name), "utf8")) }));
}

await check("the suite ends well", async () => assert.equal(await suite(), 0));
await check("2 scenarios were run, nothing skipped, failed or warned about", () => {
	const scenarios = readChecks(results);
	assert.equal(scenarios.length, 2);
	const all = scenarios.flatMap((s) => s.checks);
	assert.deepEqual(all.filter((c) => c.status !== "SUCCESS"), []);
	assert.ok(all.some((c) => c.id === "authorization-code-grant"), "the code flow was not judged");
	assert.ok(all.some((c) => c.id === "authorization-server-metadata-cimd"), "client id metadata documents were not judged");
});
await check("the program ends well", async () => assert.equal(await portcullis.stop(), 0, portcullis.output));
conclude();
