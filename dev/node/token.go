package main

import (
	"errors"
	"fmt"
	"strings"
)

// joinToken is a cluster token: a bare password, or k3s's full form
// K10<hash of the server CA>::<user>:<password>.
type joinToken struct {
	caHash, user, password string
}

func parseToken(text string) (joinToken, error) {
	if !strings.HasPrefix(text, "K10") {
		return joinToken{password: text}, nil
	}
	hash, credentials, found := strings.Cut(text[len("K10"):], "::")
	if !found {
		return joinToken{}, errors.New("invalid token format")
	}
	if len(hash) != 64 {
		return joinToken{}, errors.New("invalid token CA hash length")
	}
	user, password, found := strings.Cut(credentials, ":")
	if !found || password == "" {
		return joinToken{}, errors.New("invalid token format")
	}
	return joinToken{caHash: hash, user: user, password: password}, nil
}

func caMismatch(want string, caPEM []byte) error {
	return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", want, hashOf(caPEM))
}
