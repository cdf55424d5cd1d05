// Clients choose their names, and strangers choose them to deceive: what cannot be seen or turns text around is gone, and what is
// code elsewhere is text on our pages.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { allow, authorizeURL, callback, login, look, office, open, portcullis, register } from "./world.mjs";

// names are what clients call themselves, and what a person sees of it.
const names = [
	["Claude \u202e)deifirev(\u202c", "Claude )deifirev("],
	["\u2066\u2067Goo\u200b\u200dg\u2060le\ufeff\u2069\u061c\u00ad", "Google"],
	["G\u043eogle \u{e0041}\u{e0042}\ufe0f\u034f", "G\u043eogle"],
	["<b>Bold</b> & <img src=x onerror=alert(1)>", "<b>Bold</b> & <img src=x onerror=alert(1)>"],
	['"><script>alert(1)</script>', '"><script>alert(1)</script>'],
	["</title></q></bdi><h1>You are safe here</h1>", "</title></q></bdi><h1>You are safe here</h1>"],
	["&lt;b&gt;&#x202e;&amp;nbsp;", "&lt;b&gt;&#x202e;&amp;nbsp;"],
	["{{.FormToken}} ${alert(1)} <%= 1 %>", "{{.FormToken}} ${alert(1)} <%= 1 %>"],
	["Cla\u0301\u0302\u0303\u0304\u0305\u0306\u0307ude", "Cl\u00e1\u0302\u0303ude"],
	["a\u00a0\u2003\u3000b\u2028c\u2800d", "a b c d"],
	["\u200b\u2060\u3164\u115f", "(no name)"],
	["W".repeat(200), "W".repeat(79) + "…"],
	["\u05e9\u05dc\u05d5\u05dd (verified) \u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd (verified) \u0645\u0631\u062d\u0628\u0627"],
];

// unseen are the characters of a page that cannot be seen or turn others around.
const unseen = (text) => [...text].filter((c) => /[\p{Cf}\p{Co}\p{Cn}\p{Variation_Selector}]|[\u2028\u2029\u2800\u3164\u115f\u1160\uffa0\u034f]/u.test(c)).map((c) => c.codePointAt(0).toString(16));

const built = (page) => page.locator("main *").evaluateAll((all) => all.map((e) => e.localName).join(" "));

// inspect looks at a page on which a client's name stands, and compares its build with that of the same page for a plain name.
async function inspect(page, shown, plain) {
	const claims = page.locator("main q");
	assert.deepEqual(await claims.allTextContents(), [shown]);
	assert.equal(await claims.locator("bdi").count(), 1, "the name is not kept apart from the text around it");
	assert.equal(await claims.locator("bdi *").count(), 0);
	assert.deepEqual(unseen(await page.content()), []);
	const build = await built(page);
	if (plain) assert.equal(build, plain);
	assert.equal(await page.locator("main img, main script, main b, main iframe, main svg").count(), 0);
	assert.match(await page.title(), /^[\w ?’]+ · Portcullis$/);
	return build;
}

const visitor = async () => {
	const visit = await open();
	visit.page.on("dialog", (dialog) => { visit.complaints.push(`dialog: ${dialog.message()}`); return dialog.dismiss(); });
	return visit;
};

const request = (client, changes) => authorizeURL({ client_id: client.client_id, scope: "office:calendar.read", ...changes }).url;
const stranger = (client_name) => register({ client_name, redirect_uris: [callback.url], token_endpoint_auth_method: "none" });

async function everyName() {
	const plain = await stranger("Plain");
	const [outside, inside] = [await visitor(), await visitor()];
	await inside.page.goto(request(plain));
	await login(inside.page, "bob");
	await inside.page.getByText(/unverified/i).first().waitFor();
	const consent = await inspect(inside.page, "Plain");
	await outside.page.goto(request(plain));
	const before = await inspect(outside.page, "Plain");
	for (const [sent, shown] of names) {
		const client = await stranger(sent);
		await outside.page.goto(request(client, { login_hint: sent }));
		await inspect(outside.page, shown, before);
		assert.equal(await outside.page.getByLabel("User name").inputValue(), shown === "(no name)" ? "" : shown);
		await inside.page.goto(request(client));
		await inspect(inside.page, shown, consent);
		await inside.page.goto(request(client, { scope: "unknown", state: sent }));
		await inside.page.getByRole("link", { name: /Continue to/ }).waitFor();
		await inspect(inside.page, shown);
	}
	for (const { complaints, context } of [outside, inside]) {
		assert.deepEqual(complaints, []);
		await context.close();
	}
}

async function pictures() {
	const nasty = "\u202eedualC\u202c <b>\u201cverified\u201d</b> \u200b& <img src=x onerror=alert(1)> \u05e9\u05dc\u05d5\u05dd \u{1f6e1}\ufe0f";
	const { page, context, complaints } = await visitor();
	for (const [name, client_name] of [["hostile", nasty], ["longest", "W".repeat(200)]]) {
		const client = await stranger(client_name);
		await context.clearCookies();
		await page.goto(request(client));
		await look(page, `login-${name}-name`);
		await login(page, "bob");
		await page.getByText(/unverified/i).first().waitFor();
		await look(page, `consent-${name}-name`);
		await allow(page);
	}
	await page.goto(`${portcullis.issuer}/ui/account`);
	assert.equal(await page.locator("article q").count(), 2);
	assert.deepEqual(unseen(await page.content()), []);
	await look(page, "account-hostile-names");
	const labels = await page.getByRole("button", { name: /^Disconnect/ }).evaluateAll((all) => all.map((b) => b.ariaLabel));
	assert.deepEqual([labels.length, new Set(labels).size, unseen(labels.join())], [2, 2, []]);
	assert.deepEqual(complaints, []);
	await context.close();
}

export async function clientNames() {
	await check(`${names.length} names of strangers are shown cleaned and escaped, on the login, consent and error pages`, everyName);
	await check("a hostile name and the longest one break no page", pictures);
}
