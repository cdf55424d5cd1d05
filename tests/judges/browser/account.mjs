// The account page, with and without JavaScript.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { active, allow, authorizeURL, callback, login, look, open, portcullis, tokens } from "./world.mjs";

export async function accounts(first) {
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
}
