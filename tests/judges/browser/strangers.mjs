// Clients that nobody vouches for.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { authorizeURL, callback, login, look, open, register } from "./world.mjs";

export async function strangers() {
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
		const registered = await register({ client_name: name, redirect_uris: [callback.url], token_endpoint_auth_method: "none" });
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
}
