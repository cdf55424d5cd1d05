// The way that both client libraries must find by themselves: 401 → metadata → client id metadata document → login →
// consent → token → calls → step-up → refresh → revocation. What differs between them is in `library`.
import assert from "node:assert/strict";
import { check } from "../result.mjs";
import { Person } from "../person.mjs";

// Provider is what a host application gives to its MCP client library: a store, and a browser with a person.
export class Provider {
	constructor({ person, redirectUrl, clientMetadataUrl }) {
		Object.assign(this, { person, redirectUrl, clientMetadataUrl, visits: [], saved: {} });
		this.clientMetadata = { client_name: "Judge of client libraries", redirect_uris: [redirectUrl], grant_types: ["authorization_code", "refresh_token"],
			response_types: ["code"], token_endpoint_auth_method: "none", application_type: "native" };
	}
	state() { return (this.expectedState = crypto.randomUUID()); }
	clientInformation() { return this.saved.client; }
	saveClientInformation(client) { this.saved.client = client; }
	tokens() { return this.saved.tokens; }
	saveTokens(tokens) { this.saved.tokens = tokens; }
	discoveryState() { return this.saved.discovery; }
	saveDiscoveryState(state) { this.saved.discovery = state; }
	saveCodeVerifier(verifier) { this.saved.verifier = verifier; }
	codeVerifier() { return this.saved.verifier; }
	invalidateCredentials(what) {
		if (what === "all" || what === "client") delete this.saved.client;
		if (what === "all" || what === "tokens") delete this.saved.tokens;
		if (what === "all" || what === "discovery") delete this.saved.discovery;
	}
	async redirectToAuthorization(url) {
		const callback = new URL(await this.person.answer(url.href));
		assert.equal(callback.searchParams.get("state"), this.expectedState);
		this.visits.push({ url, callback });
	}
}

// connect opens a session; where the library sends the person to the browser, it goes on behind it.
async function connect(library, endpoint, provider) {
	for (let i = 0; i < 2; i++) {
		const session = library.session(endpoint, provider);
		try {
			await session.client.connect(session.transport);
			return session;
		} catch (error) {
			if (!(error instanceof library.UnauthorizedError)) throw error;
			await library.finish(session.transport, provider.visits.at(-1).callback);
		}
	}
	throw new Error("still unauthorized after the login");
}

const text = (result) => result.content.map((c) => c.text ?? "").join(" ");

// denial is what the person of an agent sees of a denied call, whether the server answers with a result or an error.
async function denial(call) {
	try {
		const result = await call;
		assert.equal(result.isError, true, `the call was allowed: ${text(result)}`);
		return text(result);
	} catch (error) {
		if (error instanceof assert.AssertionError) throw error;
		return error.message;
	}
}

export async function walk(library, demo) {
	const name = (what) => `${library.name}: ${what}`;
	const provider = new Provider({ person: new Person("alice", demo.password), redirectUrl: demo.redirectUrl, clientMetadataUrl: demo.clientMetadataUrl });
	let session;
	const call = (tool, args) => session.client.callTool({ name: tool, arguments: args });

	await check(name("finds the server, logs in with its client id metadata document and connects"), async () => {
		session = await connect(library, demo.endpoint, provider);
		assert.equal(provider.visits.length, 1);
		const asked = provider.visits[0].url;
		assert.equal(asked.origin, demo.issuer);
		assert.equal(asked.searchParams.get("client_id"), demo.clientMetadataUrl);
		assert.equal(asked.searchParams.get("resource"), demo.endpoint);
		assert.equal(asked.searchParams.get("code_challenge_method"), "S256");
		assert.equal(provider.visits[0].callback.searchParams.get("iss"), demo.issuer);
		assert.ok(provider.saved.tokens.refresh_token, "no refresh token");
	});
	await check(name("lists the tools that its token opens"), async () => {
		const names = (await session.client.listTools()).tools.map((t) => t.name).sort();
		assert.deepEqual(names, ["calendar_list", "get_weather"]);
	});
	await check(name("calls a tool that policy allows"), async () => {
		const result = await call("get_weather", { city: "Rome" });
		assert.ok(!result.isError, text(result));
		assert.notEqual(text(result), "");
	});
	await check(name("is denied a call because of its arguments, and is not sent to the browser for it"), async () => {
		const reason = await denial(call("transfer", { amount: 5000, to: "someone" }));
		assert.match(reason, /transfers above|limit/i);
		assert.equal(provider.visits.length, 1);
	});
	await check(name("steps up when a scope is missing, and the call is allowed"), async () => {
		session = await library.stepUp({ session, provider, call: (s) => s.client.callTool({ name: "crm_update", arguments: demo.crmArguments }),
			connect: () => connect(library, demo.endpoint, provider) });
		assert.equal(provider.visits.length, 2);
		assert.ok(provider.visits[1].url.searchParams.get("scope").split(" ").includes("tools:crm.write"));
		const result = await call("crm_update", demo.crmArguments);
		assert.ok(!result.isError, text(result));
	});
	await check(name("refreshes by itself and stores the successor"), async () => {
		const before = provider.saved.tokens;
		provider.saved.tokens = { ...before, access_token: "gone" };
		const result = await call("crm_update", demo.crmArguments);
		assert.ok(!result.isError, text(result));
		assert.equal(provider.visits.length, 2);
		assert.notEqual(provider.saved.tokens.refresh_token, before.refresh_token);
		assert.notEqual(provider.saved.tokens.access_token, before.access_token);
	});
	await check(name("must ask the person again after a revocation"), async () => {
		const form = { client_id: demo.clientMetadataUrl, token: provider.saved.tokens.refresh_token };
		assert.equal((await fetch(`${demo.issuer}/revoke`, { method: "POST", body: new URLSearchParams(form) })).status, 200);
		await assert.rejects(call("get_weather", { city: "Rome" }), library.UnauthorizedError);
		assert.equal(provider.visits.length, 3);
	});
	await check(name("registers itself where it has no document"), async () => {
		const other = new Provider({ person: new Person("bob", demo.bobPassword), redirectUrl: demo.redirectUrl });
		const { client } = await connect(library, demo.endpoint, other);
		assert.doesNotMatch(other.saved.client.client_id, /^https:/);
		const result = await client.callTool({ name: "get_weather", arguments: { city: "Rome" } });
		assert.ok(!result.isError, text(result));
		await client.close();
	});
	await session?.client.close();
}
