package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

var errPasswordRejected = errors.New("node password rejected")

func passwordSecret(node string) string { return node + ".node-password.k3s" }

// ensureNodePassword accepts a node's first password and from then on no
// other. k3s hashes with scrypt; a salted HMAC keeps the same promise to tests
// with the standard library alone.
func ensureNodePassword(ctx context.Context, s *store, node, password string) error {
	if node == "" || password == "" {
		return errPasswordRejected
	}
	return s.update(ctx, secretKey("kube-system", passwordSecret(node)), func(old []byte) ([]byte, error) {
		if old != nil {
			return nil, checkPassword(old, password)
		}
		salt := make([]byte, 8)
		if _, err := rand.Read(salt); err != nil {
			return nil, err
		}
		o := newObject("v1", "Secret", "kube-system", passwordSecret(node))
		o["type"], o["immutable"] = "Opaque", true
		o["data"] = object{"hash": base64.StdEncoding.EncodeToString([]byte(hashPassword(salt, password)))}
		return encode(o)
	})
}

func checkPassword(secret []byte, password string) error {
	var o object
	if err := json.Unmarshal(secret, &o); err != nil {
		return err
	}
	stored, err := base64.StdEncoding.DecodeString(stringField(o, "data", "hash"))
	if err != nil {
		return err
	}
	saltText, _, _ := strings.Cut(string(stored), ":")
	salt, err := hex.DecodeString(saltText)
	if err != nil {
		return err
	}
	if !hmac.Equal(stored, []byte(hashPassword(salt, password))) {
		return errPasswordRejected
	}
	return nil
}

func hashPassword(salt []byte, password string) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(password))
	return hex.EncodeToString(salt) + ":" + hex.EncodeToString(mac.Sum(nil))
}

// ownPassword is the node's own password, made at its first start.
func ownPassword(cfg *config) (string, error) {
	file := filepath.Join(cfg.etcDir, "node", "password")
	raw, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	password := hex.EncodeToString(random)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return password, os.WriteFile(file, []byte(password+"\n"), 0o600)
}
