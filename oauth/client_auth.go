package oauth

// ResourceDirectory finds the registered resources. Disabled ones are not in it.
type ResourceDirectory interface {
	ResourceByKey(key string) (*Resource, bool)
	ResourceByID(canonical string) (*Resource, bool)
	Resources() []*Resource
}
