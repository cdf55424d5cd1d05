// One mcp-remote: a process that speaks MCP over stdio on this side and OAuth on the other.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const here = import.meta.dirname;
const program = join(here, "../node_modules/mcp-remote/dist/proxy.js");

// Home is where mcp-remote keeps its state, and whose person it is.
export class Home {
	constructor({ name, password, action = "allow" }) {
		Object.assign(this, { name, password, action, folder: mkdtempSync(join(tmpdir(), "portcullis-judge-mcp-remote-")), log: "" });
		this.visitsFile = join(this.folder, "visits");
	}
	// visits are those of the browser. mcp-remote may be ready before the browser has seen the end of its visit, so this waits for it.
	async visits() {
		for (const deadline = Date.now() + 20_000; ; await new Promise((r) => setTimeout(r, 50))) {
			const lines = existsSync(this.visitsFile) ? readFileSync(this.visitsFile, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)) : [];
			const ended = lines.filter((line) => !line.begun);
			if (2 * ended.length === lines.length) return ended;
			if (Date.now() > deadline) throw new Error(`a visit of the browser does not end: ${JSON.stringify(lines)}`);
		}
	}
	// stored is a file of mcp-remote's state: what it keeps of its tokens or of its registration.
	stored(kind) {
		const state = join(this.folder, "state");
		const name = existsSync(state) && readdirSync(state, { recursive: true }).find((f) => f.endsWith(`_${kind}.json`));
		return name ? join(state, name) : undefined;
	}
	get tokens() { return this.read("tokens"); }
	set tokens(tokens) { writeFileSync(this.stored("tokens"), JSON.stringify(tokens)); }
	get client() { return this.read("client_info"); }
	read(kind) {
		const file = this.stored(kind);
		return file && JSON.parse(readFileSync(file, "utf8"));
	}
	remove() { rmSync(this.folder, { recursive: true, force: true }); }

	// start runs mcp-remote until close and gives an MCP client that speaks with it.
	async start(endpoint, ...args) {
		const env = {
			PATH: `${here}:${process.env.PATH}`, HOME: this.folder, MCP_REMOTE_CONFIG_DIR: join(this.folder, "state"), BROWSER: join(here, "xdg-open"),
			JUDGED_NODE: process.execPath, JUDGED_BROWSER: join(here, "browser.mjs"), JUDGED_VISITS: this.visitsFile,
			JUDGED_PERSON: this.name, JUDGED_PASSWORD: this.password, JUDGED_ACTION: this.action,
		};
		const transport = new StdioClientTransport({ command: process.execPath, args: [program, endpoint, "--transport", "http-only", ...args], env, stderr: "pipe" });
		transport.stderr.on("data", (data) => { this.log += data; });
		const client = new Client({ name: "portcullis-judge", version: "1.0.0" });
		try {
			await client.connect(transport, { timeout: 30_000 });
		} catch (error) {
			await transport.close();
			throw new Error(`mcp-remote does not connect; it said\n${this.log}\nand the browser ${JSON.stringify(await this.visits())}`, { cause: error });
		}
		return client;
	}
}
