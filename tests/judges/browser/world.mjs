// What the browser's checks share: the server with its people and clients, a Chromium, and the way through its pages.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { addUser, passwordHash, serve } from "../program.mjs";
import { callbackServer, challengeOf, verifier } from "./client.mjs";

export const password = "correct horse battery staple";
export const office = "http://127.0.0.1:3001/mcp";
export const archive = "http://127.0.0.1:3002/archive/with/a/long/path/that/goes/on/and/on/and/never/ends/mcp";
const pictures = join(process.env.JUDGES_ARTIFACTS, "screenshots");
rmSync(pictures, { recursive: true, force: true });

// policies is a folder with the rules of the payroll and with the one that lets Cursor have its scheme.
function policies() {
	const folder = mkdtempSync(join(tmpdir(), "portcullis-judge-policies-"));
	process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
	for (const rules of ["policies", "cursor"]) cpSync(join(process.env.JUDGES_TESTDATA, rules), folder, { recursive: true });
	return folder;
}

const scope = (name, description, more) => ({ name, description, ...more });
const tool = (name, needs, readOnly, destructive) => ({ name, scopes: [needs], annotations: { readOnlyHint: readOnly, destructiveHint: destructive }, inputSchema: { type: "object" } });
export const portcullis = await serve({
	policies: policies(),
	resources: [{
		id: office, key: "office", name: "Office tools", secret: "secret-of-the-office-server", baseline_scopes: ["office:calendar.read"],
		scopes: [scope("office:calendar.read", "See your calendar"), scope("office:crm.write", "Change customer records"),
			scope("office:money.transfer", "Move money", { risk: "high" }), scope("office:payroll.read", "See salaries")],
		tools: [tool("calendar_list", "office:calendar.read", true, false), tool("calendar_find", "office:calendar.read", true, false), tool("crm_update", "office:crm.write", false, false),
			tool("transfer", "office:money.transfer", false, true)],
	}, {
		id: archive, key: "archive", name: "Archive of the whole house", secret: "secret-of-the-archive", baseline_scopes: ["archive:boxes.read"],
		scopes: [scope("archive:boxes.read", "Look into every box of the archive"), scope("archive:boxes.burn", "Burn boxes")],
		tools: [...["box_list", "box_find", "box_open", "box_weigh", "box_whose_contents_are_described_at_length_in_a_single_word"].map((name) => tool(name, "archive:boxes.read", true, false)),
			tool("box_burn", "archive:boxes.burn", false, true)],
	}],
	clients: [{ id: "demo-cli", name: "Demo CLI", redirect_uris: ["http://127.0.0.1/callback", "http://localhost/callback"], token_endpoint_auth_method: "none" }],
	users: [{ name: "alice", password_hash: passwordHash(password), groups: ["staff"] }, { name: "bob", password_hash: passwordHash(password), groups: [] }],
	registration: { mode: "open" },
});
addUser(portcullis, "erin", password); // the only one who may change her password on the page
export const callback = await callbackServer();
const how = { executablePath: spawnSync("which", ["chromium"], { encoding: "utf8" }).stdout.trim(), args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
	"--disable-background-networking", "--disable-component-update", "--disable-sync"] };
export const browser = await chromium.launch(how);
export const launchPersistent = ({ profile, env }) => chromium.launchPersistentContext(profile, { ...how, env });
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

export async function register(metadata) {
	const answer = await fetch(`${portcullis.issuer}/register`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(metadata) });
	if (answer.status !== 201) throw new Error(`register: ${answer.status} ${await answer.text()}`);
	return answer.json();
}

export async function tokens(code, changes = {}) {
	const form = { grant_type: "authorization_code", client_id: "demo-cli", code, code_verifier: verifier, ...changes };
	return (await fetch(`${portcullis.issuer}/token`, { method: "POST", body: new URLSearchParams(form) })).json();
}

export async function active(token) {
	const headers = { authorization: `Basic ${Buffer.from("office:secret-of-the-office-server").toString("base64")}` };
	return (await (await fetch(`${portcullis.issuer}/introspect`, { method: "POST", headers, body: new URLSearchParams({ token }) })).json()).active;
}

const appearances = [["light", "light", 1100], ["dark", "dark", 1100], ["phone", "light", 390], ["phone-dark", "dark", 390]];

// keepPicture keeps a picture of a page as it is.
export const keepPicture = (page, name) => page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });

// look keeps a picture of a page in four appearances and lets axe judge three of them: the fourth has the colours of one and the
// layout of another. What axe cannot tell about contrast counts as a fault.
export async function look(page, name) {
	await page.evaluate(axe);
	for (const [kind, colorScheme, width] of appearances) {
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
		await page.setViewportSize({ width, height: 900 });
		await keepPicture(page, `${name}-${kind}`);
		const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
		assert.ok(wide <= 0, `${name} in ${kind} is ${wide} px too wide`);
		if (kind === "phone-dark") continue;
		const { violations, incomplete, passes } = await page.evaluate(() => globalThis.axe.run(document, { rules: { "target-size": { enabled: true } } }));
		const told = (found) => found.map((v) => `${name} in ${kind}: ${v.id}: ${v.nodes.map((n) => n.html).join(" ").slice(0, 300)}`);
		assert.deepEqual(told(violations), []);
		assert.deepEqual(told(incomplete.filter((v) => v.id === "color-contrast")), []);
		assert.ok(passes.some((v) => v.id === "color-contrast") && passes.length >= 15, `axe looked at nothing: ${passes.map((v) => v.id)}`);
	}
	await page.setViewportSize({ width: 1100, height: 900 });
	await page.emulateMedia({ colorScheme: "light" });
}
