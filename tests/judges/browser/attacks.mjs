// What strangers try: unknown and unverified clients, and pages of other sites.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { authorizeURL, callback, login, look, open, portcullis } from "./world.mjs";

export async function attacks() {
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
}
