// Starts the demo and lets both client libraries walk against its sample MCP server.
import assert from "node:assert/strict";
import * as modern from "@modelcontextprotocol/client";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { freePort, run, until } from "../program.mjs";
import { check, conclude } from "../result.mjs";
import { walk } from "./walk.mjs";

const info = { name: "portcullis-judge", version: "1.0.0" };

const sdk = {
	name: "@modelcontextprotocol/sdk",
	UnauthorizedError,
	session(endpoint, authProvider) {
		return { client: new Client(info), transport: new StreamableHTTPClientTransport(new URL(endpoint), { authProvider }) };
	},
	finish: (transport, callback) => transport.finishAuth(callback.searchParams.get("code")),
	// With a refresh token at hand this library refreshes instead of asking the person, which cannot widen a scope; then it
	// gives up with the 403. A host that drops the refresh token gets the library to ask for the scope of the challenge.
	async stepUp({ session, provider, call, connect }) {
		await assert.rejects(call(session), (error) => error instanceof StreamableHTTPError && error.code === 403);
		delete provider.saved.tokens.refresh_token;
		const again = await connect();
		await assert.rejects(call(again), UnauthorizedError);
		await again.transport.finishAuth(provider.visits.at(-1).callback.searchParams.get("code"));
		return again;
	},
};

const client = {
	name: "@modelcontextprotocol/client",
	UnauthorizedError: modern.UnauthorizedError,
	session(endpoint, authProvider) {
		return { client: new modern.Client(info), transport: new modern.StreamableHTTPClientTransport(new URL(endpoint), { authProvider }) };
	},
	finish: (transport, callback) => transport.finishAuth(callback.searchParams),
	async stepUp({ session, provider, call }) {
		const held = provider.saved.tokens.scope.split(" ");
		await assert.rejects(call(session), modern.UnauthorizedError);
		const asked = provider.visits.at(-1).url.searchParams.get("scope").split(" ");
		assert.deepEqual(held.filter((scope) => !asked.includes(scope)), [], "the union of the scopes was not asked for");
		await session.transport.finishAuth(provider.visits.at(-1).callback.searchParams);
		return session;
	},
};

const program = run("demo", "--listen", `127.0.0.1:${await freePort()}`);
const printed = (what, pattern) => until(what, program, () => program.output.match(pattern)?.[1]);
const demo = {
	password: await printed("password of alice", /Your turn[^]*?^\s*alice\s+(\S+)/m),
	bobPassword: await printed("password of bob", /Your turn[^]*?^\s*bob\s+(\S+)/m),
	issuer: await printed("issuer", /Portcullis\s+(http:\/\/\S+)/),
	endpoint: await printed("MCP server", /MCP server\s+(http:\/\/\S+)/),
	clientMetadataUrl: await printed("client id metadata document", /(https:\/\/127\.0\.0\.1:\d+\/\S+\.json)/),
	redirectUrl: `http://127.0.0.1:${await freePort()}/callback`,
	crmArguments: { customer: "ACME", note: "judged" },
};

await walk(client, demo);
await walk(sdk, demo);
await check("the demo ends well", async () => assert.equal(await program.stop(), 0, program.output));
conclude();
