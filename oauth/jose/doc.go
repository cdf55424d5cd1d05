// Package jose is everything this server does with keys: it makes and reads ES256 keys, signs compact JWS (RFC 7515),
// verifies them strictly, publishes key sets (RFC 7517) and seals secrets at rest. It knows no OAuth noun.
//
// The library underneath accepts more than is safe: unknown "crit" headers, any "typ", repeated claims, several spellings of
// one signature. So Verifier reads the token itself, checks everything about its form, and leaves only the signature to the library.
package jose
