package oauth

import "strconv"

// AppendJSON writes the answer byte for byte as encoding/json does without its escapes for HTML.
func (t *TokenResponse) AppendJSON(out []byte) ([]byte, error) {
	o := jsonObject{out: append(out, '{')}
	o.text("access_token", t.AccessToken)
	o.text("token_type", t.TokenType)
	o.member("expires_in")
	o.out = strconv.AppendInt(o.out, t.ExpiresIn, 10)
	o.textIfAny("refresh_token", t.RefreshToken)
	o.text("scope", t.Scope)
	return append(o.out, '}'), nil
}

// AppendJSON writes the answer byte for byte as encoding/json does without its escapes for HTML.
func (i *Introspection) AppendJSON(out []byte) ([]byte, error) {
	o := jsonObject{out: append(out, '{')}
	o.member("active")
	o.out = strconv.AppendBool(o.out, i.Active)
	o.textIfAny("scope", i.Scope)
	o.textIfAny("client_id", i.ClientID)
	o.textIfAny("username", i.Username)
	o.textIfAny("token_type", i.TokenType)
	o.numberIfAny("exp", i.Exp)
	o.numberIfAny("iat", i.Iat)
	o.textIfAny("sub", i.Sub)
	o.textIfAny("aud", i.Aud)
	o.textIfAny("iss", i.Iss)
	o.textIfAny("jti", i.JTI)
	o.numberIfAny("auth_time", i.AuthTime)
	o.textIfAny("acr", i.ACR)
	o.listIfAny("amr", i.AMR)
	return append(o.out, '}'), nil
}

// appendJSON writes the payload of a token, byte for byte as encoding/json does without its escapes for HTML.
func (c *accessClaims) appendJSON(out []byte) []byte {
	o := jsonObject{out: append(out, '{')}
	o.text("iss", c.Issuer)
	o.text("sub", c.Subject)
	o.text("aud", c.Audience)
	o.text("client_id", c.ClientID)
	o.text("scope", c.Scope)
	o.text("jti", c.ID)
	o.member("iat")
	o.out = strconv.AppendInt(o.out, c.IssuedAt, 10)
	o.member("exp")
	o.out = strconv.AppendInt(o.out, c.ExpiresAt, 10)
	o.numberIfAny("auth_time", c.AuthTime)
	o.textIfAny("acr", c.ACR)
	o.listIfAny("amr", c.AMR)
	o.textIfAny("grant_id", c.GrantID)
	o.textIfAny("family_id", c.FamilyID)
	o.textIfAny("gty", c.GrantType)
	return append(o.out, '}')
}
