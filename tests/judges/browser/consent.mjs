// Login, consent and the way back to the client.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { allow, authorizeURL, callback, login, look, office, open, portcullis, tokens } from "./world.mjs";

// consents gives the tokens of the first login.
export async function consents() {
	let first;
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
	return first;
}
