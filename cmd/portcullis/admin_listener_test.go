package main

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// TestIdleProgramsDoNotKeepOthersFromTheAdminListener: it holds few connections, so none may rest there.
func TestIdleProgramsDoNotKeepOthersFromTheAdminListener(t *testing.T) {
	s := serve(t, site(t, ""))
	for range 40 {
		client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second} // each keeps its connection if it may
		t.Cleanup(client.CloseIdleConnections)
		response, err := client.Get("http://" + s.admin + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response.Status, err)
		}
	}
}
