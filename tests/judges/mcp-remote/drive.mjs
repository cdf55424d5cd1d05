// Starts the demo, connects mcp-remote to its sample MCP server and calls tools through stdio, as a desktop host would.
import assert from "node:assert/strict";
import { freePort, run, until } from "../program.mjs";
import { check, conclude } from "../result.mjs";
import { Home } from "./remote.mjs";

const program = run("demo", "--listen", `127.0.0.1:${await freePort()}`);
const printed = (what, pattern) => until(what, program, () => program.output.match(pattern)?.[1]);
const demo = {
	password: await printed("password of alice", /Your turn[^]*?^\s*alice\s+(\S+)/m),
	issuer: await printed("issuer", /Portcullis\s+(http:\/\/\S+)/),
	endpoint: await printed("MCP server", /MCP server\s+(http:\/\/\S+)/),
	clientMetadataUrl: await printed("client id metadata document", /(https:\/\/127\.0\.0\.1:\d+\/\S+\.json)/),
};
const alice = { name: "alice", password: demo.password };
const weather = { name: "get_weather", arguments: { city: "Rome" } };
const crm = { name: "crm_update", arguments: { customer: "ACME", note: "judged" } };

const text = (result) => result.content.map((c) => c.text ?? "").join(" ");

// visited wants so many visits of the browser, all of which came back to mcp-remote and were answered so, and gives them.
async function visited(home, n, status = 200) {
	const visits = await home.visits();
	assert.deepEqual(visits.map((v) => v.error ?? v.status), Array(n).fill(status), `${JSON.stringify(visits, null, 1)}\n${home.log}`);
	return visits.map((v) => ({ url: new URL(v.url), callback: new URL(v.callback) }));
}

async function allowed(client, call) {
	const result = await client.callTool(call);
	assert.ok(!result.isError, text(result));
	assert.notEqual(text(result), "");
}

async function denied(client, call, reason) {
	const result = await client.callTool(call);
	assert.equal(result.isError, true, `the call was allowed: ${text(result)}`);
	assert.match(text(result), reason);
}

const home = new Home(alice);
let client;
await check("registers itself, opens the browser, and comes back with a token of this server", async () => {
	client = await home.start(demo.endpoint);
	const [{ url, callback }] = await visited(home, 1);
	const asked = (name) => url.searchParams.get(name);
	assert.equal(url.origin, demo.issuer);
	assert.deepEqual([asked("resource"), asked("code_challenge_method"), asked("redirect_uri")], [demo.endpoint, "S256", callback.origin + callback.pathname]);
	assert.match(callback.origin, /^http:\/\/localhost:\d+$/);
	assert.equal(callback.searchParams.get("iss"), demo.issuer);
	assert.equal(home.tokens.token_type, "Bearer");
	assert.ok(home.tokens.refresh_token);
});
await check("lists the tools that its token opens, and calls one", async () => {
	assert.deepEqual((await client.listTools()).tools.map((t) => t.name).sort(), ["calendar_list", "get_weather"]);
	await allowed(client, weather);
});
await check("is denied a call because of its arguments, with the reason and without the browser", async () => {
	await denied(client, { name: "transfer", arguments: { amount: 5000, to: "someone" } }, /transfers above 1000/);
	await visited(home, 1);
});
await check("is denied what an unverified client cannot obtain, without the browser", async () => {
	await denied(client, crm, /cannot obtain/);
	await visited(home, 1);
});
await check("started again it goes on with what it has stored", async () => {
	await client.close();
	client = await home.start(demo.endpoint);
	await allowed(client, weather);
	await visited(home, 1);
});
await check("refreshes a token that is no longer good and stores the successor", async () => {
	await client.close();
	const before = home.tokens;
	home.tokens = { ...before, access_token: "gone" };
	client = await home.start(demo.endpoint);
	await allowed(client, weather);
	await visited(home, 1);
	const after = home.tokens;
	assert.ok(after.access_token !== "gone" && after.access_token !== before.access_token && after.refresh_token !== before.refresh_token);
});
await check("asks the person again after a revocation", async () => {
	await client.close();
	const form = { client_id: home.client.client_id, token: home.tokens.refresh_token };
	assert.equal((await fetch(`${demo.issuer}/revoke`, { method: "POST", body: new URLSearchParams(form) })).status, 200);
	client = await home.start(demo.endpoint);
	await allowed(client, weather);
	await visited(home, 2);
	await client.close();
});
home.remove();

await check("tells its host when the person says no, and has no token then", async () => {
	const other = new Home({ ...alice, action: "deny" });
	await assert.rejects(other.start(demo.endpoint, "--auth-timeout", "10"));
	const [{ callback }] = await visited(other, 1, 400);
	assert.equal(callback.searchParams.get("error"), "access_denied");
	assert.match(other.log, /access_denied/);
	assert.equal(other.tokens, undefined);
	other.remove();
});

await check("with a client id metadata document it steps up when a scope is missing", async () => {
	const other = new Home(alice);
	const port = await freePort();
	const verified = await other.start(demo.endpoint, String(port), "--client-metadata-url", demo.clientMetadataUrl, "--host", "127.0.0.1", "--callback-path", "/callback");
	const [{ url }] = await visited(other, 1);
	assert.equal(url.searchParams.get("client_id"), demo.clientMetadataUrl);
	await allowed(verified, weather);
	await allowed(verified, crm);
	const [, second] = await visited(other, 2);
	assert.ok(second.url.searchParams.get("scope").split(" ").includes("tools:crm.write"));
	await allowed(verified, weather);
	await verified.close();
	other.remove();
});
await check("the demo ends well", async () => assert.equal(await program.stop(), 0, program.output));
conclude();
