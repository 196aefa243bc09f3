package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kubeconfig holds what a kubeconfig written by k3s says.
type kubeconfig struct {
	server        string
	serverName    string // in the server's certificate, if not the host of its URL
	ca, cert, key []byte
}

func (k kubeconfig) render() []byte {
	encode := base64.StdEncoding.EncodeToString
	name := ""
	if k.serverName != "" {
		name = "\n    tls-server-name: " + k.serverName
	}
	return []byte(fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: %s%s
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: %s
    client-key-data: %s
`, encode(k.ca), k.server, name, encode(k.cert), encode(k.key)))
}

func writeKubeconfig(cfg *config, p *clusterPKI) (string, error) {
	k := kubeconfig{server: "https://" + cfg.ownAddress(),
		ca: p.serverCA.certPEM, cert: p.admin.certPEM, key: p.admin.keyPEM}
	file := cfg.kubeconfigOut
	if file == "" {
		file = filepath.Join(cfg.etcDir, "k3s.yaml")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	// Readers look for the file's existence: it must never be half written.
	if err := os.WriteFile(file+".new", k.render(), 0o600); err != nil {
		return "", err
	}
	return file, os.Rename(file+".new", file)
}

// readKubeconfig understands the layout k3s writes, one value a line; it is no
// YAML parser.
func readKubeconfig(file string) (kubeconfig, error) {
	var k kubeconfig
	f, err := os.Open(file)
	if err != nil {
		return k, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), ": ")
		switch name {
		case "server":
			k.server = value
		case "tls-server-name":
			k.serverName = value
		case "certificate-authority-data":
			k.ca, err = base64.StdEncoding.DecodeString(value)
		case "client-certificate-data":
			k.cert, err = base64.StdEncoding.DecodeString(value)
		case "client-key-data":
			k.key, err = base64.StdEncoding.DecodeString(value)
		}
		if err != nil {
			return k, fmt.Errorf("%s: %s: %w", file, name, err)
		}
	}
	if k.server == "" || k.ca == nil || k.cert == nil || k.key == nil {
		return k, errors.New(file + ": not a kubeconfig as k3s writes it")
	}
	return k, lines.Err()
}
