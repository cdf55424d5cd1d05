// The life of a token, as a strict library sees it: discovery, consent, code, use, rotation, revocation, and every refusal.
import assert from "node:assert/strict";
import { Person } from "../person.mjs";
import { check } from "../result.mjs";
import { verified } from "./libraries.mjs";

// refused is what a library throws when the server refuses, by the error of RFC 6749 §5.2 and the status.
const refused = (error, status) => (thrown) => {
	assert.deepEqual([thrown.constructor.name, thrown.error, thrown.status], ["ResponseBodyError", error, status], `unexpected: ${thrown.stack}`);
	return true;
};

// unacceptable is what a library throws when an answer is not the one to its question; nothing was sent then.
const unacceptable = (parameter) => (thrown) => {
	assert.equal(thrown.code, "OAUTH_INVALID_RESPONSE", thrown.stack);
	assert.match(`${thrown.message} ${thrown.cause?.message ?? ""}`, new RegExp(`"${parameter}"`));
	return true;
};

const changed = (url, changes) => {
	const other = new URL(url);
	for (const [name, value] of Object.entries(changes)) {
		if (value === undefined) other.searchParams.delete(name);
		else other.searchParams.set(name, value);
	}
	return other;
};

const withoutOffline = (scope) => scope.split(" ").filter((s) => s !== "offline_access").join(" ");

export async function walkDiscovery(library, { issuer }) {
	await check(`${library.name}: discovers the server`, async () => {
		const server = await library.discover(issuer);
		assert.equal(server.issuer, issuer);
		for (const endpoint of ["authorization_endpoint", "token_endpoint", "jwks_uri", "revocation_endpoint", "introspection_endpoint"]) {
			assert.equal(new URL(server[endpoint]).origin, issuer, endpoint);
		}
		assert.deepEqual(server.code_challenge_methods_supported, ["S256"]);
		assert.equal(server.authorization_response_iss_parameter_supported, true);
	});
	await check(`${library.name}: refuses the document of another issuer`, async () => {
		await assert.rejects(library.discover(`${issuer}/tenant`), (thrown) => /^OAUTH_/.test(thrown.code));
	});
}

// walk leads one client of a library through everything. The asking servers are clients of the same library.
export async function walk(library, { issuer, person: { name: user, password }, resource, other, scope }, kind) {
	const name = (what) => `${library.name}, ${kind.method}: ${what}`;
	const person = new Person(user, password);
	const [client, server, stranger] = await Promise.all([kind, resource, other].map((who) => library.client(issuer, who)));
	const visit = async ({ action } = {}) => {
		const { url, checks } = await client.begin({ resource: resource.identifier, scope });
		return { checks, callback: new URL(await person.answer(url.href, { action })) };
	};
	const login = async () => {
		const { callback, checks } = await visit();
		return client.redeem(callback, checks);
	};

	let tokens;
	await check(name("redeems a code with PKCE, resource, state and iss for a token of that resource"), async () => {
		tokens = await login();
		assert.equal(tokens.token_type, "bearer"); // both libraries fold the case
		assert.ok(tokens.expires_in > 0 && tokens.refresh_token);
		assert.equal(withoutOffline(tokens.scope), scope);
		const claims = await verified(issuer, tokens.access_token, resource.identifier);
		assert.equal(claims.client_id, kind.id);
		await assert.rejects(verified(issuer, tokens.access_token, other.identifier), /aud/);
	});
	await check(name("introspects as the resource, and nobody else learns anything"), async () => {
		const seen = await server.introspect(tokens.access_token);
		const claims = await verified(issuer, tokens.access_token, resource.identifier);
		assert.deepEqual([seen.active, seen.client_id, seen.iss, seen.sub, seen.aud, seen.exp, seen.scope],
			[true, kind.id, issuer, claims.sub, claims.aud, claims.exp, claims.scope]);
		assert.deepEqual(await stranger.introspect(tokens.access_token), { active: false });
		assert.deepEqual(await server.introspect(tokens.refresh_token), { active: false });
		assert.deepEqual(await server.introspect("nonsense"), { active: false });
	});
	await check(name("refreshes twice, each time with a new refresh token and for the same resource"), async () => {
		for (let i = 0; i < 2; i++) {
			const before = tokens;
			tokens = await client.refresh(before.refresh_token, { resource: resource.identifier });
			assert.notEqual(tokens.refresh_token, before.refresh_token);
			assert.notEqual(tokens.access_token, before.access_token);
			assert.equal(tokens.scope, before.scope);
			await verified(issuer, tokens.access_token, resource.identifier);
		}
	});
	await check(name("is refused another resource and a wider scope, which costs nothing"), async () => {
		await assert.rejects(client.refresh(tokens.refresh_token, { resource: other.identifier }), refused("invalid_target", 400));
		await assert.rejects(client.refresh(tokens.refresh_token, { scope: `${scope} judge:tools.write` }), refused("invalid_scope", 400));
		tokens = await client.refresh(tokens.refresh_token);
	});
	await check(name("revokes: the refresh token is refused, the access token dead, and once more is no error"), async () => {
		const held = tokens;
		await client.revoke(held.refresh_token);
		await assert.rejects(client.refresh(held.refresh_token), refused("invalid_grant", 400));
		assert.deepEqual(await server.introspect(held.access_token), { active: false });
		await client.revoke(held.refresh_token);
		await client.revoke("nonsense");
	});
	await check(name("an old refresh token ends everything that came of it"), async () => {
		const first = await login();
		const second = await client.refresh(first.refresh_token);
		const third = await client.refresh(second.refresh_token);
		await assert.rejects(client.refresh(first.refresh_token), refused("invalid_grant", 400));
		await assert.rejects(client.refresh(third.refresh_token), refused("invalid_grant", 400));
		assert.deepEqual(await server.introspect(third.access_token), { active: false });
	});
	await check(name("revokes one access token, and the refresh token lives"), async () => {
		const held = await login();
		await client.revoke(held.access_token);
		assert.deepEqual(await server.introspect(held.access_token), { active: false });
		const next = await client.refresh(held.refresh_token);
		assert.equal((await server.introspect(next.access_token)).active, true);
	});
	await check(name("believes no answer with another state or iss, and the right one still counts"), async () => {
		const { callback, checks } = await visit();
		await assert.rejects(client.redeem(changed(callback, { iss: "https://evil.example" }), checks), unacceptable("iss"));
		await assert.rejects(client.redeem(changed(callback, { iss: `${issuer}/` }), checks), unacceptable("iss"));
		await assert.rejects(client.redeem(changed(callback, { iss: undefined }), checks), unacceptable("iss"));
		await assert.rejects(client.redeem(changed(callback, { state: "other" }), checks), unacceptable("state"));
		await assert.rejects(client.redeem(changed(callback, { state: undefined }), checks), unacceptable("state"));
		assert.ok((await client.redeem(callback, checks)).access_token);
	});
	await check(name("is refused with a wrong verifier, a wrong resource and a wrong code; the right ones still count"), async () => {
		const { callback, checks } = await visit();
		const wrong = { ...checks, verifier: (await client.begin({})).checks.verifier };
		await assert.rejects(client.redeem(callback, wrong), refused("invalid_grant", 400));
		await assert.rejects(client.redeem(callback, checks, { resource: other.identifier }), refused("invalid_target", 400));
		await assert.rejects(client.redeem(changed(callback, { code: "nonsense" }), checks), refused("invalid_grant", 400));
		assert.ok((await client.redeem(callback, checks, { resource: resource.identifier })).access_token);
	});
	await check(name("a code used twice ends what the first use gave"), async () => {
		const { callback, checks } = await visit();
		const held = await client.redeem(callback, checks);
		await assert.rejects(client.redeem(callback, checks), refused("invalid_grant", 400));
		assert.deepEqual(await server.introspect(held.access_token), { active: false });
		await assert.rejects(client.refresh(held.refresh_token), refused("invalid_grant", 400));
	});
	await check(name("is told that the person said no, with state and iss"), async () => {
		const { callback, checks } = await visit({ action: "deny" });
		assert.equal(callback.searchParams.get("code"), null);
		const denied = (thrown) => thrown.constructor.name === "AuthorizationResponseError" && thrown.error === "access_denied";
		await assert.rejects(client.redeem(callback, checks), denied);
		await assert.rejects(client.redeem(changed(callback, { iss: undefined }), checks), unacceptable("iss")); // so it was looked at
		await assert.rejects(client.redeem(changed(callback, { state: "other" }), checks), unacceptable("state"));
	});
	await check(name("a client that cannot prove itself is refused, whatever it holds"), async () => {
		const held = await login();
		const impostor = await library.client(issuer, kind.method === "none" ? { ...kind, id: "nobody" } : { ...kind, secret: "wrong" });
		for (const attempt of [() => impostor.refresh(held.refresh_token), () => impostor.revoke(held.refresh_token)]) {
			await assert.rejects(attempt, (thrown) => thrown.status === 401 || thrown.cause?.status === 401);
		}
		const spy = await library.client(issuer, { ...resource, secret: "wrong" });
		await assert.rejects(spy.introspect(held.access_token), (thrown) => thrown.status === 401 || thrown.cause?.status === 401);
		assert.ok((await client.refresh(held.refresh_token)).access_token);
	});
}
