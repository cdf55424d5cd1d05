// What the browser's checks share: the server with its people and clients, a Chromium, and the way through its pages.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { passwordHash, serve } from "../program.mjs";
import { callbackServer, challengeOf, verifier } from "./client.mjs";

export const password = "correct horse battery staple";
export const office = "http://127.0.0.1:3001/mcp";
const pictures = join(process.env.JUDGES_ARTIFACTS, "screenshots");
rmSync(pictures, { recursive: true, force: true });

const scope = (name, description, more) => ({ name, description, ...more });
const tool = (name, needs, readOnly, destructive) => ({ name, scopes: [needs], annotations: { readOnlyHint: readOnly, destructiveHint: destructive }, inputSchema: { type: "object" } });
export const portcullis = await serve({
	policies: process.env.JUDGES_POLICIES,
	resources: [{
		id: office, key: "office", name: "Office tools", secret: "secret-of-the-office-server", baseline_scopes: ["office:calendar.read"],
		scopes: [scope("office:calendar.read", "See your calendar"), scope("office:crm.write", "Change customer records"),
			scope("office:money.transfer", "Move money", { risk: "high" }), scope("office:payroll.read", "See salaries")],
		tools: [tool("calendar_list", "office:calendar.read", true, false), tool("calendar_find", "office:calendar.read", true, false), tool("crm_update", "office:crm.write", false, false),
			tool("transfer", "office:money.transfer", false, true)],
	}],
	clients: [{ id: "demo-cli", name: "Demo CLI", redirect_uris: ["http://127.0.0.1/callback", "http://localhost/callback"], token_endpoint_auth_method: "none" }],
	users: [{ name: "alice", password_hash: passwordHash(password), groups: ["staff"] }, { name: "bob", password_hash: passwordHash(password), groups: [] }],
	registration: { mode: "open" },
});
export const callback = await callbackServer();
const find = spawnSync("which", ["chromium"], { encoding: "utf8" }).stdout.trim();
export const browser = await chromium.launch({ executablePath: find, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"] });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// open makes a browser of its own; whatever a page complains about, blocked by its policy or not, is kept.
export async function open(options = {}) {
	const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
	context.setDefaultTimeout(15_000);
	const page = await context.newPage();
	const complaints = [];
	page.on("console", (m) => m.type() === "error" && !/Failed to load resource: the server responded with a status of 4/.test(m.text()) && complaints.push(m.text()));
	page.on("pageerror", (e) => complaints.push(String(e)));
	return { context, page, complaints };
}

export function authorizeURL(changes = {}) {
	const state = crypto.randomUUID();
	const params = { response_type: "code", client_id: "demo-cli", redirect_uri: callback.url, resource: office, scope: "office:calendar.read office:crm.write office:money.transfer office:payroll.read",
		state, code_challenge: challengeOf(verifier), code_challenge_method: "S256", ...changes };
	return { url: `${portcullis.issuer}/authorize?${new URLSearchParams(params)}`, state };
}

export async function login(page, name = "alice", word = password) {
	await page.getByLabel("User name").fill(name);
	await page.getByLabel("Password", { exact: true }).fill(word);
	await page.getByRole("button", { name: "Sign in" }).click();
}

export async function allow(page) {
	await page.getByRole("button", { name: "Allow" }).click();
	await page.waitForURL(/\/callback\?/);
}

export async function tokens(code) {
	const form = { grant_type: "authorization_code", client_id: "demo-cli", code, code_verifier: verifier };
	return (await fetch(`${portcullis.issuer}/token`, { method: "POST", body: new URLSearchParams(form) })).json();
}

export async function active(token) {
	const headers = { authorization: `Basic ${Buffer.from("office:secret-of-the-office-server").toString("base64")}` };
	return (await (await fetch(`${portcullis.issuer}/introspect`, { method: "POST", headers, body: new URLSearchParams({ token }) })).json()).active;
}

// look judges a page in three appearances and keeps a picture of each.
export async function look(page, name) {
	for (const [kind, colorScheme, width] of [["light", "light", 1100], ["dark", "dark", 1100], ["phone", "light", 390]]) {
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
		await page.setViewportSize({ width, height: 900 });
		await page.screenshot({ path: join(pictures, `${name}-${kind}.png`), fullPage: true });
		const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
		assert.ok(wide <= 0, `${name} in ${kind} is ${wide} px too wide`);
		await page.evaluate(axe);
		const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
		assert.deepEqual(violations.map((v) => `${name} in ${kind}: ${v.id}: ${v.nodes.map((n) => n.html).join(" ").slice(0, 300)}`), []);
	}
	await page.setViewportSize({ width: 1100, height: 900 });
	await page.emulateMedia({ colorScheme: "light" });
}
