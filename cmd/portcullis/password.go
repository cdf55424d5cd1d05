package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"portcullis/oauth"
)

// readPassword asks twice on a terminal, without echo, and reads one line when stdin is none. Passwords are never
// taken from flags: other processes can see those.
func (a *app) readPassword() (string, error) {
	file, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return readLine(a.stdin)
	}
	first, err := a.ask(file, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := a.ask(file, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return checkPassword(first)
}

func (a *app) ask(terminal *os.File, prompt string) (string, error) {
	fmt.Fprint(a.stderr, prompt)
	text, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(a.stderr)
	return string(text), err
}

func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return checkPassword(strings.TrimRight(line, "\r\n"))
}

func checkPassword(p string) (string, error) {
	if p == "" {
		return "", errors.New("no password was given; type it at the prompt or send it as one line on standard input")
	}
	return p, plain(oauth.CheckNewPassword(p))
}
