// The two libraries behind one interface. Each discovers the server by RFC 8414 and gives clients of it; whatever a library
// finds wrong, it throws.
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const insecure = { [oauth.allowInsecureRequests]: true }; // http, on loopback

const methods = {
	none: () => oauth.None(),
	client_secret_basic: (secret) => oauth.ClientSecretBasic(secret),
	client_secret_post: (secret) => oauth.ClientSecretPost(secret),
};

export const oauth4webapi = {
	name: "oauth4webapi",
	async discover(issuer) {
		const url = new URL(issuer);
		return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure }));
	},
	async client(issuer, { id, secret, method, redirect }) {
		const server = await this.discover(issuer);
		const client = { client_id: id };
		const prove = methods[method](secret);
		return {
			async begin(parameters) {
				const checks = { state: oauth.generateRandomState(), verifier: oauth.generateRandomCodeVerifier() };
				const url = new URL(server.authorization_endpoint);
				url.search = new URLSearchParams({ client_id: id, redirect_uri: redirect, response_type: "code", state: checks.state,
					code_challenge: await oauth.calculatePKCECodeChallenge(checks.verifier), code_challenge_method: "S256", ...parameters });
				return { url, checks };
			},
			async redeem(callback, { state, verifier }, parameters) {
				const answer = oauth.validateAuthResponse(server, client, callback, state);
				const response = await oauth.authorizationCodeGrantRequest(server, client, prove, answer, redirect, verifier, { additionalParameters: parameters, ...insecure });
				return oauth.processAuthorizationCodeResponse(server, client, response);
			},
			async refresh(token, parameters) {
				const response = await oauth.refreshTokenGrantRequest(server, client, prove, token, { additionalParameters: parameters, ...insecure });
				return oauth.processRefreshTokenResponse(server, client, response);
			},
			async introspect(token) {
				return oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, prove, token, insecure));
			},
			async revoke(token) {
				await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, prove, token, insecure));
			},
		};
	},
};

export const openidClient = {
	name: "openid-client",
	async discover(issuer) {
		return (await this.configuration(issuer, { id: "discovery", method: "none" })).serverMetadata();
	},
	configuration(issuer, { id, secret, method }) {
		return openid.discovery(new URL(issuer), id, undefined, methods[method](secret), { algorithm: "oauth2", execute: [openid.allowInsecureRequests] });
	},
	async client(issuer, { redirect, ...how }) {
		const configuration = await this.configuration(issuer, how);
		return {
			async begin(parameters) {
				const checks = { state: openid.randomState(), verifier: openid.randomPKCECodeVerifier() };
				const url = openid.buildAuthorizationUrl(configuration, { redirect_uri: redirect, state: checks.state,
					code_challenge: await openid.calculatePKCECodeChallenge(checks.verifier), code_challenge_method: "S256", ...parameters });
				return { url, checks };
			},
			redeem: (callback, { state, verifier }, parameters) => openid.authorizationCodeGrant(configuration, callback, { expectedState: state, pkceCodeVerifier: verifier }, parameters),
			refresh: (token, parameters) => openid.refreshTokenGrant(configuration, token, parameters),
			introspect: (token) => openid.tokenIntrospection(configuration, token),
			revoke: (token) => openid.tokenRevocation(configuration, token),
		};
	},
};

// verified are the claims of an access token, read the way of a resource server that trusts nothing (RFC 9068 §4).
export async function verified(issuer, accessToken, resource) {
	const server = await oauth4webapi.discover(issuer);
	const request = new Request(resource, { headers: { authorization: `Bearer ${accessToken}` } });
	return oauth.validateJwtAccessToken(server, request, resource, { signingAlgorithms: ["ES256"], ...insecure });
}
