// Starts the server and lets both libraries walk, as a public client and as clients with a secret. Ids and secrets hold every
// character that HTTP Basic must encode (RFC 6749 §2.3.1).
import assert from "node:assert/strict";
import { passwordHash, serve } from "../program.mjs";
import { check, conclude } from "../result.mjs";
import { oauth4webapi, openidClient } from "./libraries.mjs";
import { walk, walkDiscovery } from "./walk.mjs";

const person = { name: "judge", password: "the judge's own password" };
const scopes = [{ name: "judge:tools.call", description: "Call the tools" }, { name: "judge:tools.write", description: "Change things" }];
const server = (key, identifier, secret) => ({ key, identifier, secret, id: key, method: "client_secret_basic", redirect: "" });
const resource = server("judged", "http://127.0.0.1:3001/mcp", "secret of the: judged+server%2B&=/?");
const other = { ...server("other", "http://127.0.0.1:3002/mcp", "secret-of-the-other-server"), id: "http://127.0.0.1:3002/mcp" }; // by its identifier
const kinds = [
	{ id: "public", method: "none", redirect: "http://127.0.0.1:4711/callback" },
	{ id: "web:app+one%2B/&=?", secret: "a secret: with+all%20the&odd=characters/?~", method: "client_secret_basic", redirect: "https://basic.example/cb" },
	{ id: "https://post.example/client", secret: "another secret: with+all%20the&odd=characters/?~", method: "client_secret_post", redirect: "https://post.example/cb" },
];

const portcullis = await serve({
	resources: [resource, other].map(({ key, identifier, secret }) => ({ id: identifier, key, name: key, secret, scopes, baseline_scopes: ["judge:tools.call"], tools: [] })),
	clients: kinds.map(({ id, secret, method, redirect }) => ({ id, name: `The ${method} client`, redirect_uris: [redirect], token_endpoint_auth_method: method, ...(secret && { secret }) })),
	users: [{ name: person.name, password_hash: passwordHash(person.password), groups: [] }],
});

for (const library of [oauth4webapi, openidClient]) {
	await walkDiscovery(library, portcullis);
	for (const kind of kinds) await walk(library, { issuer: portcullis.issuer, person, resource, other, scope: "judge:tools.call" }, kind);
}
await check("the program ends well", async () => assert.equal(await portcullis.stop(), 0, portcullis.output));
conclude();
