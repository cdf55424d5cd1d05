// Package oauth is the protocol and the domain: the nouns (client, resource, scope, user, grant), the rules, and
// the two flows. Everything may import it; it imports only its own leaves (oauth/jose, oauth/fetch), the standard
// library and a short list.
//
// # The authorization code flow
//
// A client sends a browser to the authorization endpoint. Begin proves the client and the redirect URI and keeps
// the raw parameters as an interaction, bound to a cookie of that browser. Resume tells what the interaction needs: a login, the
// consent, or a redirect. Nothing, errors included, goes back to the client before the person has logged in. Policy proposes the scopes, the
// person ticks, and Answer commits the grant, the code's hash and the audit event in one go, then redirects with code, state and iss.
//
// At the token endpoint every grant type walks through the same pipeline: authenticate the client → may it use this
// type → Prove → grantScopes → Mint → one Commit → answer. A grant type only proves; what it spends is committed with what is
// minted. A refusal may cost something (a counted PKCE failure, an ended family): it is paid before the refusal is answered.
//
// # A decision
//
// An MCP server authenticates as a registered resource and sends its caller's access token and the call. The Decider
// verifies the token (signature, type, times, audience = the asking server, family and grant alive), finds the tool in the
// catalogue, validates the arguments against the tool's input schema, asks the policy, records the decision and answers. A denial is an
// answer, never an HTTP error.
//
// # The map
//
//	client.go resource.go scope.go user.go grant.go interaction.go    the nouns
//	ledger.go policy.go events.go        what this package needs from storage and policies
//	endpoints.go request.go parameters.go    the parts of the server; what is known of a request; form parameters
//	settle.go grant_scopes.go            the shape of every state change; the only caller of ScopePolicy and its clamp
//	authorize.go                         Begin, Resume, Answer                       RFC 6749 §3.1, §4.1
//	authorization_request.go             the parameters                              RFC 6749 §4.1.1, RFC 8707 §2
//	leg.go                               one leg of an interaction: what it needs next, errors by redirect    RFC 6749 §4.1.2.1, RFC 9207
//	consent.go                           proposal, consent page, grant and code      RFC 6749 §4.1.2
//	redirect.go                          redirect URIs, loopback port rule           OAuth 2.1 §2.3.1, §8.4.2
//	login.go login_delay.go turns.go password.go session.go form_token.go    people, delays, one at a time, argon2id, sessions, form tokens
//	account.go                           connected agents, password change
//	token.go grant_type.go               the pipeline; what a grant type is          RFC 6749 §3.2
//	token_limits.go                      how often a client may be wrong and a login may refresh
//	grant_authorization_code.go pkce.go  codes                                       RFC 6749 §4.1.3, RFC 7636
//	grant_refresh_token.go               rotation, reuse window                      RFC 6749 §6, OAuth 2.1 §4.3.1
//	issuer.go keys.go jose/jwks.go       access tokens; signing keys; the JWKS        RFC 9068, RFC 7517
//	token_check.go introspect.go         is this token alive                         RFC 7662
//	revoke.go                            revocation                                  RFC 7009
//	client_auth.go resource_auth.go      none, basic, post; resource servers         RFC 6749 §2.3
//	client_metadata_document.go          CIMD: find, fetch, remember                 draft-ietf-oauth-client-id-metadata-document
//	client_metadata_check.go             CIMD: what a URL and a document must be
//	admission.go                         policy.clients, for both ways to register
//	registration.go                      DCR                                         RFC 7591
//	client_digest.go                     what a pending consent is bound to: a change ends it
//	catalogue.go argument_check.go       resources and tools; arguments against inputSchema
//	argument_work.go                     what a check of arguments may cost
//	usual_schema.go                      which input schemas surely compile, so that a start need not compile them
//	decision.go challenge.go             the decision point and its challenges       AuthZEN 1.0, RFC 6750 §3, RFC 9470
//	metadata.go                          paths and documents                         RFC 8414, RFC 9728
//	tried.go                             what packages in mode log_only would have changed, in answer and audit
//	usage.go                             how often a tool was called: counts, and turns of those that ask for them
//	record.go                            what a policy decision saw, kept beside the audit
//	configured.go                        objects of the configuration file
//	token_json.go                        what the token endpoints answer, written without reflection
//	errors.go json.go secret.go limiter.go lru.go display.go address.go    small tools
package oauth
