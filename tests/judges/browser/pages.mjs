// The pages that the other checks do not come by: each is judged by axe and kept as a picture.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { archive, authorizeURL, callback, login, look, open, password, portcullis } from "./world.mjs";

const ui = (path) => `${portcullis.issuer}/ui${path}`;

async function loginPages() {
	const { page, context, complaints } = await open();
	await page.goto(authorizeURL({ login_hint: "alice" }).url);
	await look(page, "login-hint");
	await login(page);
	await page.getByRole("link", { name: "Not you?" }).click();
	await page.getByRole("link", { name: "Back, without switching" }).waitFor();
	await look(page, "login-switch");
	await page.goto(authorizeURL({ prompt: "login" }).url);
	await page.getByLabel("Password", { exact: true }).waitFor();
	await look(page, "login-again");
	assert.deepEqual(complaints, []);
	await context.close();
}

async function consentPages() {
	const { page, context, complaints } = await open();
	await page.goto(authorizeURL({ resource: archive, scope: "archive:boxes.read archive:boxes.burn" }).url);
	await login(page, "erin");
	await page.locator("summary").click();
	await look(page, "consent-many-tools");
	for (const box of await page.getByRole("checkbox").all()) await box.uncheck();
	await page.waitForFunction(() => !document.querySelector("[data-hold]").hasAttribute("aria-disabled"));
	await page.getByRole("button", { name: "Allow" }).click();
	await page.getByRole("alert").waitFor();
	await look(page, "consent-nothing-ticked");
	assert.equal(await page.getByRole("checkbox", { checked: true }).count(), 0);
	assert.deepEqual(complaints, []);
	await context.close();
}

async function errorPages() {
	const { page, context, complaints } = await open();
	const errors = {
		"error-redirect": [400, authorizeURL({ redirect_uri: callback.url + "/other" }).url],
		"error-not-found": [404, ui("/nothing")],
		"error-ended": [400, ui("/i/AAAAAAAAAAAAAAAAAAAAAAAAAA")],
	};
	for (const [name, [status, url]] of Object.entries(errors)) {
		assert.equal((await page.goto(url)).status(), status, name);
		await look(page, name);
	}
	await page.goto(authorizeURL().url);
	const begun = page.url();
	const another = await open();
	assert.equal((await another.page.goto(begun)).status(), 403);
	await look(another.page, "error-another-browser");
	assert.deepEqual([...complaints, ...another.complaints], []);
	await another.context.close();
	await context.close();
}

async function passwordPages() {
	const { page, context, complaints } = await open();
	await page.goto(ui("/account"));
	await login(page, "erin");
	await page.getByRole("heading", { name: "Change your password" }).waitFor();
	await look(page, "account-password");
	const change = async (old, fresh, again) => {
		await page.getByLabel("Current password").fill(old);
		await page.getByLabel("New password", { exact: true }).fill(fresh);
		await page.getByLabel("New password, again").fill(again);
		await page.getByRole("button", { name: "Change password" }).click();
	};
	await change("not the password", "a fresh password of erin", "a fresh password of erin");
	await page.getByRole("alert").waitFor();
	await look(page, "account-password-wrong");
	await change(password, "a fresh password of erin", "another one altogether");
	await page.getByRole("alert").waitFor();
	await change(password, "a fresh password of erin", "a fresh password of erin");
	await page.getByRole("status").waitFor();
	await look(page, "account-password-changed");
	await page.getByRole("button", { name: "Sign out" }).click();
	await page.getByRole("link", { name: "Sign in again" }).click();
	await login(page, "erin", "a fresh password of erin");
	await page.getByRole("heading", { name: "Connected agents" }).waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
}

export async function otherPages() {
	await check("login pages: with a hint, for another person, once more", loginPages);
	await check("consent pages: with many tools, with nothing ticked", consentPages);
	await check("error pages: redirect, not found, ended, another browser", errorPages);
	await check("account pages: a password is refused, then changed", passwordPages);
}
