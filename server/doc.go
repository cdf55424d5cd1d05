// Package server is the HTTP face of Portcullis and the only place that knows Gin. It decides nothing: a handler
// decodes the request, calls one function of package oauth and encodes what comes back.
//
// A request passes, in this order: request id → access log → recovery → host check → security headers → (per route)
// CORS, cross-origin protection, limits → handler. server.go has the whole route table, handle.go the only decoders
// and encoders, fail.go the only writer of errors, session.go the cookies, pages.go the templates, admin.go the
// second listener with health and metrics, admin_bundle.go the policies there.
package server
