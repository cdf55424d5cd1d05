// Package oauth is the protocol and the domain: the nouns (client, resource, scope, user, grant), the rules, and
// the two flows. Everything may import it; it imports only its own leaves, the standard library and a short list.
package oauth
