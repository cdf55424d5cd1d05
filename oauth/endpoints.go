package oauth

// Endpoints are the parts of this server. A nil part is a 404 and an absent field in the metadata.
type Endpoints struct {
	Metadata      *MetadataEndpoint
	Authorization *AuthorizationEndpoint
	Login         *LoginEndpoint
	Account       *AccountEndpoint
	Token         *TokenEndpoint
	Revocation    *RevocationEndpoint
	Introspection *IntrospectionEndpoint
	Registration  *RegistrationEndpoint
	Decision      *Decider
}
