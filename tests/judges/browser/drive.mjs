// A person in a real Chromium: login, consent, deny, account, revocation, with and without JavaScript. Every page is
// looked at in light, dark and at phone width, judged by axe, and kept as a picture.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { passwordHash, serve } from "../program.mjs";
import { check, conclude } from "../result.mjs";
import { callbackServer, challengeOf, verifier } from "./client.mjs";

const password = "correct horse battery staple";
const office = "http://127.0.0.1:3001/mcp";
const pictures = join(process.env.JUDGES_ARTIFACTS, "screenshots");
rmSync(pictures, { recursive: true, force: true });

const scope = (name, description, more) => ({ name, description, ...more });
const tool = (name, needs, readOnly, destructive) => ({ name, scopes: [needs], annotations: { readOnlyHint: readOnly, destructiveHint: destructive }, inputSchema: { type: "object" } });
const portcullis = await serve({
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
const callback = await callbackServer();
const find = spawnSync("which", ["chromium"], { encoding: "utf8" }).stdout.trim();
const browser = await chromium.launch({ executablePath: find, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"] });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// open makes a browser of its own; whatever a page complains about, blocked by its policy or not, is kept.
async function open(options = {}) {
	const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
	context.setDefaultTimeout(15_000);
	const page = await context.newPage();
	const complaints = [];
	page.on("console", (m) => m.type() === "error" && !/Failed to load resource: the server responded with a status of 4/.test(m.text()) && complaints.push(m.text()));
	page.on("pageerror", (e) => complaints.push(String(e)));
	return { context, page, complaints };
}

function authorizeURL(changes = {}) {
	const state = crypto.randomUUID();
	const params = { response_type: "code", client_id: "demo-cli", redirect_uri: callback.url, resource: office, scope: "office:calendar.read office:crm.write office:money.transfer office:payroll.read",
		state, code_challenge: challengeOf(verifier), code_challenge_method: "S256", ...changes };
	return { url: `${portcullis.issuer}/authorize?${new URLSearchParams(params)}`, state };
}

async function login(page, name = "alice", word = password) {
	await page.getByLabel("User name").fill(name);
	await page.getByLabel("Password", { exact: true }).fill(word);
	await page.getByRole("button", { name: "Sign in" }).click();
}

async function allow(page) {
	await page.getByRole("button", { name: "Allow" }).click();
	await page.waitForURL(/\/callback\?/);
}

async function tokens(code) {
	const form = { grant_type: "authorization_code", client_id: "demo-cli", code, code_verifier: verifier };
	return (await fetch(`${portcullis.issuer}/token`, { method: "POST", body: new URLSearchParams(form) })).json();
}

async function active(token) {
	const headers = { authorization: `Basic ${Buffer.from("office:secret-of-the-office-server").toString("base64")}` };
	return (await (await fetch(`${portcullis.issuer}/introspect`, { method: "POST", headers, body: new URLSearchParams({ token }) })).json()).active;
}

// look judges a page in three appearances and keeps a picture of each.
async function look(page, name) {
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

let first; // the tokens of the first login

await check("login and consent lead back to the client with code, state and iss, and no cookie", async () => {
	const { page, context, complaints } = await open();
	const { url, state } = authorizeURL();
	await page.goto(url);
	await look(page, "login");
	await login(page, "alice", "wrong password");
	await page.getByRole("alert").waitFor();
	await look(page, "login-wrong");
	await login(page);
	await page.getByRole("heading", { name: /asks for access/ }).waitFor();
	await look(page, "consent");
	const text = await page.locator("main").innerText();
	assert.equal(await page.getByRole("checkbox").count(), 3, "a withheld scope can be ticked");
	for (const shown of ["Demo CLI", "Office tools", office, "See your calendar", "Change customer records", "Move money", "calendar_list", "crm_update", "transfer", "alice", "Only the finance group may see salaries.",
		new URL(callback.url).host, "this computer"]) assert.ok(text.includes(shown), `the consent page does not show ${shown}`);
	await page.getByRole("checkbox", { name: /Change customer records/ }).uncheck();
	await allow(page);
	const call = callback.last();
	assert.equal(call.params.get("state"), state);
	assert.equal(call.params.get("iss"), portcullis.issuer);
	assert.equal(call.cookie, undefined, "the callback received a cookie");
	assert.ok((await context.cookies()).length >= 2, "no cookies were set at all, so this proves nothing");
	for (const c of await context.cookies()) assert.ok(c.httpOnly && c.sameSite === "Lax" && /^\/(ui|authorize)$/.test(c.path), JSON.stringify(c));
	first = await tokens(call.params.get("code"));
	assert.deepEqual(first.scope.split(" ").filter((s) => s !== "offline_access"), ["office:calendar.read", "office:money.transfer"]);
	assert.deepEqual(complaints, []);
	await context.close();
});

await check("Deny and Allow are equal buttons, neither is chosen beforehand", async () => {
	const { page, context } = await open();
	await page.goto(authorizeURL().url);
	await login(page);
	const [deny, yes] = await Promise.all(["Deny", "Allow"].map((name) => page.getByRole("button", { name }).boundingBox()));
	assert.ok(Math.abs(deny.width - yes.width) < 2 && Math.abs(deny.height - yes.height) < 2, `Deny ${JSON.stringify(deny)}, Allow ${JSON.stringify(yes)}`);
	const focused = await page.evaluate(() => document.activeElement?.textContent?.trim());
	assert.ok(focused !== "Allow", "Allow has the focus when the page opens");
	await context.close();
});

await check("what is new is marked when a client asks for more", async () => {
	const { page, context } = await open();
	await page.goto(authorizeURL().url);
	await login(page);
	await page.getByText("already allowed").first().waitFor();
	assert.equal(await page.locator("li.fresh").count(), 1);
	await look(page, "consent-step-up");
	await context.close();
});

await check("Deny tells the client and gives it nothing", async () => {
	const { page, context } = await open();
	const { url, state } = authorizeURL();
	await page.goto(url);
	await login(page);
	await page.getByRole("button", { name: "Deny" }).click();
	await page.waitForURL(/\/callback\?/);
	const call = callback.last();
	assert.deepEqual([call.params.get("error"), call.params.get("state"), call.params.get("iss"), call.params.get("code"), call.cookie], ["access_denied", state, portcullis.issuer, null, undefined]);
	await context.close();
});

await check("a double click on Allow ends at the client, not on an error page", async () => {
	const { page, context } = await open();
	await page.goto(authorizeURL({ redirect_uri: callback.url.replace("127.0.0.1", "localhost") }).url);
	await login(page);
	await page.getByRole("button", { name: "Allow" }).waitFor();
	await page.waitForTimeout(1200); // beyond the delay that protects against hijacked clicks
	await page.getByRole("button", { name: "Allow" }).dblclick({ noWaitAfter: true });
	await page.waitForURL(/^http:\/\/localhost:\d+\/callback\?/);
	const call = callback.last();
	assert.ok((await tokens(call.params.get("code"))).access_token, "the code does not work");
	assert.equal(call.cookie, undefined);
	await context.close();
});

await check("everything works without JavaScript", async () => {
	const { page, context } = await open({ javaScriptEnabled: false });
	await page.goto(authorizeURL().url);
	await login(page, "bob");
	await page.getByRole("checkbox", { name: /Move money/ }).uncheck();
	await allow(page);
	assert.ok((await tokens(callback.last().params.get("code"))).access_token);
	await page.goto(`${portcullis.issuer}/ui/account`);
	await page.getByRole("button", { name: /Disconnect/ }).click();
	await page.getByText("No app is connected").waitFor();
	await context.close();
});

await check("the account page shows the agents, and Disconnect ends one at once", async () => {
	const { page, context, complaints } = await open();
	await page.goto(`${portcullis.issuer}/ui/account`);
	await look(page, "account-login");
	await login(page);
	await page.getByRole("heading", { name: "Connected agents" }).waitFor();
	await look(page, "account");
	assert.equal(await active(first.access_token), true);
	await page.getByRole("button", { name: /Disconnect Demo CLI/ }).click();
	await page.getByText("No app is connected").waitFor();
	assert.equal(await active(first.access_token), false, "the token outlives its grant");
	await look(page, "account-empty");
	await page.getByRole("button", { name: "Sign out" }).click();
	await page.getByRole("heading", { name: "You are signed out" }).waitFor();
	await look(page, "signed-out");
	await page.goto(`${portcullis.issuer}/ui/account`);
	await page.getByRole("button", { name: "Sign in" }).waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

await check("an unknown client gets a page and no redirect", async () => {
	const { page, context, complaints } = await open();
	const answer = await page.goto(authorizeURL({ client_id: "nobody" }).url);
	assert.equal(answer.status(), 400);
	await look(page, "error");
	assert.deepEqual(complaints, []);
	await context.close();
});

await check("an unverified client is named as such, and its errors are behind a link", async () => {
	const name = "Claude \u202e(verified)<b>";
	const registered = await (await fetch(`${portcullis.issuer}/register`, { method: "POST", headers: { "content-type": "application/json" },
		body: JSON.stringify({ client_name: name, redirect_uris: [callback.url], token_endpoint_auth_method: "none" }) })).json();
	const { page, context, complaints } = await open();
	await page.goto(authorizeURL({ client_id: registered.client_id }).url);
	await login(page);
	await page.getByText(/unverified/i).first().waitFor();
	assert.doesNotMatch(await page.locator("main").innerText(), /\u202e/);
	await look(page, "consent-unverified");
	const before = callback.calls.length;
	await page.goto(authorizeURL({ client_id: registered.client_id, scope: "unknown" }).url);
	const link = page.getByRole("link", { name: /Continue to/ });
	await link.waitFor();
	await look(page, "redirect");
	assert.equal(callback.calls.length, before, "the error went to the client by itself");
	await link.click();
	await page.waitForURL(/\/callback\?/);
	assert.equal(callback.last().params.get("error"), "invalid_scope");
	assert.deepEqual(complaints, []);
	await context.close();
});

await check("another site can neither frame our pages nor post our forms", async () => {
	const { page, context } = await open();
	await page.goto(authorizeURL().url);
	await login(page);
	await page.getByRole("heading", { name: /asks for access/ }).waitFor();
	const consent = page.url();
	const other = await context.newPage(); // the same person, with the same cookies
	await other.goto(callback.attack({ frame: consent }));
	await other.waitForTimeout(500);
	const framed = other.frames().find((f) => f !== other.mainFrame());
	assert.ok(!framed || !/asks for access/.test(await framed.content().catch(() => "")), "the consent page can be framed");
	const token = await page.locator('input[name="form_token"]').first().inputValue();
	const before = callback.calls.length;
	await other.goto(callback.attack({ post: `${consent}/consent`, form_token: token, action: "allow", scope: "office:calendar.read" }));
	const answer = other.waitForResponse((r) => r.url() === `${consent}/consent`);
	await other.getByRole("button").click();
	assert.equal((await answer).status(), 403);
	assert.equal(callback.calls.length, before);
	await context.close();
});

await browser.close();
callback.close();
await check("the program ends well", async () => assert.equal(await portcullis.stop(), 0, portcullis.output));
conclude();
