// Pages of other origins: they can neither show our pages nor send our forms nor read an answer. One of them is of another site,
// one of the same site on another port, whose requests carry our cookies.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { attack, frameWays, postWays } from "./client.mjs";
import { active, allow, authorizeURL, callback, keepPicture, login, office, open, password, portcullis, tokens } from "./world.mjs";

const formToken = (page) => page.locator('input[name="form_token"]').first().inputValue();
const ui = (path) => `${portcullis.issuer}/ui${path}`;

// shown is what a frame inside a page shows: the text of every document below the page's own.
const shown = async (page) => Promise.all(page.frames().filter((f) => f !== page.mainFrame())
	.map((f) => f.evaluate(() => document.body?.innerText ?? "", undefined, { timeout: 2000 }).catch((error) => String(error))));

async function framing() {
	const { page, context } = await open();
	await page.goto(authorizeURL().url);
	const pages = { login: page.url(), error: authorizeURL({ client_id: "nobody" }).url, "not found": ui("/nothing"), "signed out": ui("/logged-out"), "account login": ui("/login") };
	const second = await context.newPage();
	await second.goto(authorizeURL().url);
	await login(second);
	await second.getByRole("heading", { name: /asks for access/ }).waitFor();
	Object.assign(pages, { consent: second.url(), account: ui("/account"), authorize: authorizeURL().url });
	const other = await context.newPage(); // the same person, with the same cookies
	for (const attacker of Object.values(callback.attackers)) {
		for (const how of frameWays) {
			await other.goto(attack(attacker, how, callback.url));
			assert.deepEqual(await shown(other), ["You can close this page."], `${how} shows nothing at all, so this proves nothing`);
			for (const [name, url] of Object.entries(how === "iframe" ? pages : { consent: pages.consent })) {
				const refused = other.waitForEvent("requestfailed", (r) => r.isNavigationRequest() && r.frame() !== other.mainFrame());
				await other.goto(attack(attacker, how, url));
				const { errorText } = (await refused).failure();
				assert.match(errorText, how === "object" ? /ERR_BLOCKED_BY_RESPONSE|ERR_ABORTED/ : /ERR_BLOCKED_BY_RESPONSE/, `${name} in ${how}: ${errorText}`);
				assert.doesNotMatch((await shown(other)).join(), /Portcullis|asks for access|Sign in|Connected/, `${name} in ${how}`);
			}
		}
	}
	await other.goto(attack(callback.attackers["another port"], "iframe", pages.consent));
	await keepPicture(other, "framed");
	await context.close();
}

// forge sends a form from each attacker in each way and wants each refused in the same way.
async function forge(context, path, fields) {
	const page = await context.newPage();
	for (const [who, attacker] of Object.entries(callback.attackers)) {
		for (const how of postWays) {
			await page.goto(attack(attacker, how, ui(path), fields));
			const answer = page.waitForResponse((r) => r.url() === ui(path));
			const arrived = how === "fetch" || page.waitForURL(ui(path));
			await (how === "sandbox" ? page.frameLocator("iframe") : page).getByRole("button").click({ noWaitAfter: true });
			const response = await answer;
			await arrived;
			assert.deepEqual([response.status(), response.request().method(), (await response.allHeaders()).location], [403, "POST", undefined], `${path} from ${who} by ${how}`);
			if (who === "another port" && how === "form") assert.match((await response.request().allHeaders()).cookie ?? "", /portcullis/, "the forged form carried no cookie, so this proves less");
		}
	}
	await page.close();
}

async function forgedLogins() {
	const { page, context } = await open();
	await page.goto(authorizeURL().url);
	const who = { username: "bob", password };
	await forge(context, new URL(page.url()).pathname.slice("/ui".length) + "/login", { ...who, form_token: await formToken(page) });
	await page.goto(ui("/login"));
	await forge(context, "/login", { ...who, form_token: await formToken(page) });
	await page.goto(ui("/account"));
	await page.getByRole("button", { name: "Sign in" }).waitFor(); // nobody is logged in
	await login(page, "bob"); // and the form of our own page still works
	await page.getByRole("heading", { name: "Connected agents" }).waitFor();
	await context.close();
}

async function forgedAnswers() {
	const { page, context } = await open();
	await page.goto(authorizeURL().url);
	await login(page, "erin");
	const before = callback.calls.length;
	for (const action of ["allow", "deny"]) {
		await forge(context, new URL(page.url()).pathname.slice("/ui".length) + "/consent", { form_token: await formToken(page), action, scope: "office:calendar.read" });
	}
	assert.equal(callback.calls.length, before);
	await allow(page);
	const held = await tokens(callback.last().params.get("code"));

	await page.goto(ui("/account"));
	const form_token = await formToken(page);
	const revoke = new URL(await page.locator('form[action$="/revoke"]').first().evaluate((f) => f.action)).pathname.slice("/ui".length);
	await forge(context, revoke, { form_token });
	await forge(context, "/account/password", { form_token, old_password: password, new_password: "the attacker's own words", again: "the attacker's own words" });
	await forge(context, "/logout", { form_token });
	assert.equal(await active(held.access_token), true, "a forged form ended a grant");
	await page.reload();
	await page.getByRole("button", { name: "Disconnect Demo CLI from Office tools" }).click(); // still logged in, and the form of our own page works
	await page.getByText("Its access ended at once").waitFor();
	assert.equal(await active(held.access_token), false);
	await page.getByRole("button", { name: "Sign out" }).click();
	await page.goto(ui("/login"));
	await login(page, "erin"); // with the password of before
	await page.getByRole("heading", { name: "Connected agents" }).waitFor();
	await context.close();
}

async function reading() {
	const { page, context } = await open();
	await page.goto(ui("/account"));
	await login(page);
	await page.getByRole("heading", { name: "Connected agents" }).waitFor();
	for (const attacker of Object.values(callback.attackers)) {
		await page.goto(attacker);
		const read = (url) => page.evaluate((u) => fetch(u, { credentials: "include" }).then((r) => r.status, (e) => e.name), url);
		for (const url of [ui("/account"), ui("/login"), authorizeURL().url]) assert.equal(await read(url), "TypeError", url);
		assert.equal(await page.evaluate((u) => fetch(u).then((r) => r.status), `${portcullis.issuer}/jwks.json`), 200); // what is for everybody can be read
	}
	await context.close();
}

export async function forgeries() {
	await check("no page of ours can be shown inside another one", framing);
	await check("a login that another page sends is refused with 403", forgedLogins);
	await check("an answer or account form that another page sends is refused with 403 and changes nothing", forgedAnswers);
	await check("no page of another origin can read ours", reading);
}
