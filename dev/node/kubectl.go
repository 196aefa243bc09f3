package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// The kubectl inside the image does what entrypoints and tests ask of it
// there; for everything else use a real one from outside.

const kubectlUsage = "the stand-in's kubectl knows: get, cordon, uncordon, drain, delete, version"

// kubectlCall is a parsed command line.
type kubectlCall struct {
	words []string
	flags map[string]string
}

// kubectlValued are the flags that take a value; all others are switches.
var kubectlValued = words(`kubeconfig raw o output l selector n namespace timeout grace-period s server context request-timeout`)

var kubectlSwitches = words(`force delete-emptydir-data delete-local-data ignore-daemonsets disable-eviction A
all-namespaces no-headers client wait now short v ignore-not-found`)

func parseKubectl(args []string) (kubectlCall, error) {
	call := kubectlCall{flags: map[string]string{}}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			call.words = append(call.words, args[i])
			continue
		}
		name, value, has := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case kubectlValued[name] && !has && i+1 < len(args):
			i++
			value = args[i]
		case kubectlValued[name] && !has:
			return call, fmt.Errorf("flag needs an argument: %s", args[i])
		case !kubectlValued[name] && !kubectlSwitches[name]:
			return call, fmt.Errorf("unknown flag: %s", args[i])
		}
		call.flags[name] = value
	}
	return call, nil
}

// flag returns the first of the names that was given.
func (c kubectlCall) flag(names ...string) (string, bool) {
	for _, name := range names {
		if value, ok := c.flags[name]; ok {
			return value, true
		}
	}
	return "", false
}

func kubectlMain(args []string) int {
	call, err := parseKubectl(args)
	if err == nil && len(call.words) == 0 {
		err = errors.New(kubectlUsage)
	}
	if err == nil {
		err = kubectlRun(call)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, kubectlError(err))
		return 1
	}
	return 0
}

func kubectlError(err error) string {
	var unreachable *url.Error
	if errors.As(err, &unreachable) {
		if u, parseErr := url.Parse(unreachable.URL); parseErr == nil && !unreachable.Timeout() {
			return "The connection to the server " + u.Host + " was refused - did you specify the right host or port?"
		}
	}
	return "error: " + err.Error()
}

func kubectlRun(call kubectlCall) error {
	if _, client := call.flag("client"); client && call.words[0] == "version" {
		fmt.Println("Client Version: " + versionFromEnv())
		return nil
	}
	c, err := newKubeClient(call)
	if err != nil {
		return err
	}
	switch call.words[0] {
	case "get":
		return c.get(call)
	case "cordon", "uncordon", "drain":
		return c.eachNode(call.words[1:], call.words[0])
	case "delete":
		return c.delete(call)
	case "version":
		return c.version()
	}
	return errors.New(kubectlUsage)
}

type kubeClient struct {
	server string
	http   *http.Client
}

// findKubeconfig looks where k3s puts its kubeconfig.
func findKubeconfig(call kubectlCall) (kubeconfig, error) {
	given, _ := call.flag("kubeconfig")
	for _, file := range []string{given, os.Getenv("KUBECONFIG"), os.Getenv("K3S_KUBECONFIG_OUTPUT"),
		"/etc/rancher/k3s/k3s.yaml", "/output/kubeconfig.yaml"} {
		if file == "" {
			continue
		}
		k, err := readKubeconfig(file)
		if !errors.Is(err, os.ErrNotExist) || file == given {
			return k, err
		}
	}
	return kubeconfig{}, errors.New("no kubeconfig yet: the server has not written it")
}

func newKubeClient(call kubectlCall) (*kubeClient, error) {
	k, err := findKubeconfig(call)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(k.cert, k.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert},
		ServerName: k.serverName, MinVersion: tls.VersionTLS12}}
	// A stopping container has 10 s: without an end here, a drain without a
	// quorum would take them all.
	return &kubeClient{k.server, &http.Client{Transport: transport, Timeout: 8 * time.Second}}, nil
}

// do sends a request and turns a Status answer into an error as kubectl words it.
func (c *kubeClient) do(method, path, contentType, accept string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	data, err := send(c.http, req)
	var refused *statusError
	if errors.As(err, &refused) {
		var answer object
		if json.Unmarshal(data, &answer) == nil && stringField(answer, "message") != "" {
			return nil, fmt.Errorf("from server (%s): %s", stringField(answer, "reason"), stringField(answer, "message"))
		}
	}
	return data, err
}

func (c *kubeClient) version() error {
	data, err := c.do(http.MethodGet, "/version", "", "", nil)
	var info object
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		return err
	}
	fmt.Println("Client Version: " + versionFromEnv())
	fmt.Println("Server Version: " + stringField(info, "gitVersion"))
	return nil
}

// eachNode is cordon, uncordon and drain. There are no pods to evict.
func (c *kubeClient) eachNode(names []string, verb string) error {
	if len(names) == 0 {
		return fmt.Errorf("USAGE: %s NODE", verb)
	}
	for _, name := range names {
		name = strings.TrimPrefix(name, "node/")
		path := "/api/v1/nodes/" + name
		data, err := c.do(http.MethodGet, path, "", "", nil)
		var node object
		if err == nil {
			err = json.Unmarshal(data, &node)
		}
		if err != nil {
			return err
		}
		wanted := verb != "uncordon"
		done := map[bool]string{true: "cordoned", false: "uncordoned"}[wanted]
		if (field(node, "spec", "unschedulable") == true) == wanted {
			done = "already " + done
		} else {
			patch, _ := json.Marshal(object{"spec": object{"unschedulable": map[bool]interface{}{true: true, false: nil}[wanted]}})
			if _, err := c.do(http.MethodPatch, path, strategicPatch, "", patch); err != nil {
				return err
			}
		}
		fmt.Printf("node/%s %s\n", name, done)
		if verb == "drain" {
			fmt.Printf("node/%s drained\n", name)
		}
	}
	return nil
}

// delete is "kubectl delete KIND NAME…", or KIND/NAME.
func (c *kubeClient) delete(call kubectlCall) error {
	args := call.words[1:]
	if len(args) == 1 && strings.Contains(args[0], "/") {
		args = strings.SplitN(args[0], "/", 2)
	}
	if len(args) < 2 {
		return errors.New(kubectlUsage)
	}
	_, lenient := call.flag("ignore-not-found")
	for _, name := range args[1:] {
		name = name[strings.Index(name, "/")+1:]
		path, err := getPath(kubectlCall{[]string{"delete", args[0], name}, call.flags})
		if err != nil {
			return err
		}
		_, err = c.do(http.MethodDelete, path, "", "", nil)
		switch {
		case lenient && err != nil && strings.Contains(err.Error(), "(NotFound)"):
		case err != nil:
			return err
		default:
			fmt.Printf("%s %q deleted\n", singular(args[0]), name)
		}
	}
	return nil
}
