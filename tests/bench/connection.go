package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// connection is one keep-alive HTTP/1.1 connection. It sends bytes that were rendered before and reads only what a
// measurement looks at, so that the load takes little from the server on the same cores.
type connection struct {
	net.Conn
	read *bufio.Reader
	body []byte
}

func dial(address string) (*connection, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, read: bufio.NewReaderSize(c, 16<<10)}, nil
}

// do sends a request and returns the answer; the body is good until the next call.
func (c *connection) do(request []byte) (status int, body []byte, err error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, nil, err
	}
	if _, err := c.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.read.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, fmt.Errorf("no status line: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length, err := c.header()
	if err != nil {
		return status, nil, err
	}
	if length >= 0 {
		err = c.part(length)
		return status, c.body, err
	}
	for {
		n, err := c.chunkSize()
		if err != nil {
			return status, c.body, err
		}
		if err := c.part(n); err != nil {
			return status, c.body, err
		}
		if _, err := c.read.Discard(2); err != nil || n == 0 {
			return status, c.body, err
		}
	}
}

// header reads up to the empty line; -1 = the body comes in chunks.
func (c *connection) header() (length int, err error) {
	c.body = c.body[:0]
	length = -1
	for {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		switch {
		case len(name) == 0:
			return length, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		}
	}
}

func (c *connection) chunkSize() (int, error) {
	line, err := c.read.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
	return int(n), err
}

// part appends the next bytes of the body.
func (c *connection) part(length int) error {
	from := len(c.body)
	for cap(c.body) < from+length {
		c.body = append(c.body[:cap(c.body)], 0)
	}
	c.body = c.body[:from+length]
	_, err := io.ReadFull(c.read, c.body[from:])
	return err
}

// post renders a request.
func post(host, path, kind string, header []string, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", path, host, kind, len(body))
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

const (
	kindForm = "application/x-www-form-urlencoded"
	kindJSON = "application/json"
)
