// Where the browser goes with the answer: a loopback address, whose requests are looked at, and a scheme of an app's own, for which
// Chromium starts the program that the system names.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check } from "../result.mjs";
import { allow, authorizeURL, callback, launchPersistent, login, look, open, portcullis, register, tokens } from "./world.mjs";

async function loopback() {
	for (const host of ["127.0.0.1", "localhost"]) {
		for (const action of ["Allow", "Deny"]) {
			const { page, context } = await open();
			const { url, state } = authorizeURL({ redirect_uri: callback.url.replace("127.0.0.1", host) });
			await page.goto(url);
			await login(page);
			await page.goto(`${portcullis.issuer}/ui/account`); // more of our pages, so that every cookie is there
			await page.goBack();
			if (action === "Allow") await allow(page);
			else await page.getByRole("button", { name: "Deny" }).click();
			await page.waitForURL(/\/callback\?/);
			const call = callback.last();
			assert.deepEqual([call.method, call.host, call.cookie, call.referer, call.authorization], ["GET", new URL(page.url()).host, undefined, undefined, undefined], `${action} at ${host}`);
			assert.equal(new URL(page.url()).hostname, host);
			assert.deepEqual([...call.params.keys()].sort(), action === "Allow" ? ["code", "iss", "state"] : ["error", "error_description", "iss", "state"]);
			assert.deepEqual([call.params.get("state"), call.params.get("iss")], [state, portcullis.issuer]);
			assert.ok((await context.cookies()).length >= 2, "no cookies were set at all, so this proves nothing");
			await context.close();
		}
	}
}

// cursor is what Cursor registers.
const cursor = {
	client_name: "Cursor", application_type: "web", token_endpoint_auth_method: "none", grant_types: ["authorization_code", "refresh_token"], response_types: ["code"],
	redirect_uris: ["cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"],
};

// desktop is a computer where the person once said that our pages may always open the scheme, and where the program that opens
// addresses writes them down.
function desktop() {
	const folder = mkdtempSync(join(tmpdir(), "portcullis-judge-desktop-"));
	const opened = join(folder, "opened");
	mkdirSync(join(folder, "profile", "Default"), { recursive: true });
	writeFileSync(join(folder, "profile", "Default", "Preferences"), JSON.stringify({ protocol_handler: { allowed_origin_protocol_pairs: { [portcullis.issuer]: { cursor: true } } } }));
	writeFileSync(join(folder, "xdg-open"), `#!/bin/sh\nprintf '%s\\n' "$@" >>'${opened}'\n`);
	chmodSync(join(folder, "xdg-open"), 0o755);
	return {
		profile: join(folder, "profile"),
		env: { ...process.env, HOME: folder, PATH: `${folder}:${process.env.PATH}` },
		opened: () => (existsSync(opened) ? readFileSync(opened, "utf8").trim().split("\n") : []),
		remove: () => rmSync(folder, { recursive: true, force: true }),
	};
}

// followed waits until the system opened one address more, and gives it: it must be the one that the browser navigated to.
async function followed(page, computer, act) {
	const before = computer.opened().length;
	const asked = page.waitForRequest((r) => r.url().startsWith("cursor:"));
	await act();
	const request = await asked;
	assert.equal(request.method(), "GET");
	assert.match(request.redirectedFrom()?.url() ?? "", /\/consent$/);
	for (const deadline = Date.now() + 15_000; computer.opened().length === before; await page.waitForTimeout(50)) assert.ok(Date.now() < deadline, "Chromium opened nothing");
	assert.deepEqual(computer.opened().slice(before), [request.url()]);
	return new URL(request.url());
}

async function privateScheme() {
	const computer = desktop();
	const { client_id, redirect_uris } = await register(cursor);
	assert.deepEqual(redirect_uris, cursor.redirect_uris);
	const [redirect_uri] = redirect_uris;
	const context = await launchPersistent(computer);
	const page = await context.newPage();
	const walk = authorizeURL({ client_id, redirect_uri });
	await page.goto(walk.url);
	await login(page);
	await page.getByRole("heading", { name: /asks for access/ }).waitFor();
	await look(page, "consent-private-scheme");
	assert.match(await page.locator("main").innerText(), /Then on to\s+cursor: \(an app on this device\)[^]*Did you start this yourself, just now\?[^]*any app here could have claimed them/);
	const back = await followed(page, computer, () => page.getByRole("button", { name: "Allow" }).click());
	assert.equal(back.href.split("?")[0], redirect_uri);
	assert.deepEqual([...back.searchParams.keys()].sort(), ["code", "iss", "state"]);
	assert.deepEqual([back.searchParams.get("state"), back.searchParams.get("iss")], [walk.state, portcullis.issuer]);
	assert.ok((await tokens(back.searchParams.get("code"), { client_id, redirect_uri })).access_token, "the code does not work");

	const refused = authorizeURL({ client_id, redirect_uri });
	await page.goto(refused.url);
	const denied = await followed(page, computer, () => page.getByRole("button", { name: "Deny" }).click());
	assert.deepEqual([denied.searchParams.get("error"), denied.searchParams.get("state"), denied.searchParams.get("code")], ["access_denied", refused.state, null]);

	await page.goto(authorizeURL({ client_id, redirect_uri, scope: "unknown" }).url);
	await page.getByText("Close this page and go back to the app.").waitFor();
	assert.equal(await page.locator("main a").count(), 0, "an error of a stranger's app is a link to its scheme");
	await look(page, "redirect-private-scheme");
	assert.equal(computer.opened().length, 2);
	await context.close();
	computer.remove();
}

export async function redirects() {
	await check("a loopback redirect is followed and carries nothing but its parameters: no cookie, no referrer", loopback);
	await check("a redirect to an app's own scheme is followed: the program of the system gets the whole address", privateScheme);
}
