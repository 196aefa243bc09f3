package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	defaultVersion = "v1.21.2+k3s1"
	commitHash     = "5a67e8dc"
)

// config is what one node was told, from flags, k3s's environment variables
// and the stand-in's own.
type config struct {
	role          string // server or agent
	nodeName      string
	nodeIP        string
	bindAddress   string // empty listens everywhere
	token         string
	serverURL     string
	clusterInit   bool
	tlsSANs       []string
	nodeLabels    []string
	nodeTaints    []string
	disabled      map[string]bool // components of k3s that are not deployed
	port          int
	dataDir       string
	etcDir        string // /etc/rancher
	runDir        string // /run/k3s
	kubeconfigOut string
	noDatastore   bool // STANDIN_DATASTORE=none
	remembers     bool // STANDIN_REMEMBERS
	datastore     datastoreConfig
	version       string
	times         timing
	faults        faults
	unavailable   string // STANDIN_NEVER_AVAILABLE
}

type lookup func(string) (string, bool)

func loadConfig(role string, args []string, env lookup) (*config, error) {
	flags, err := parseFlags(args)
	if err != nil {
		return nil, err
	}
	cfg := &config{role: role, version: envOr(env, "STANDIN_VERSION", defaultVersion)}
	if err := cfg.fromK3s(flags, env); err != nil {
		return nil, err
	}
	if err := cfg.fromStandin(env); err != nil {
		return nil, err
	}
	return cfg, cfg.check()
}

func versionFromEnv() string { return envOr(os.LookupEnv, "STANDIN_VERSION", defaultVersion) }

func envOr(env lookup, name, fallback string) string {
	if v, ok := env(name); ok && v != "" {
		return v
	}
	return fallback
}

func (c *config) fromK3s(flags map[string][]string, env lookup) error {
	last := func(flag, variable, fallback string) string {
		if values := flags[flag]; len(values) > 0 {
			return values[len(values)-1]
		}
		return envOr(env, variable, fallback)
	}
	hostname, _ := os.Hostname()
	c.nodeName = strings.ToLower(last("node-name", "K3S_NODE_NAME", hostname))
	c.token = last("token", "K3S_TOKEN", "")
	c.serverURL = last("server", "K3S_URL", "")
	c.kubeconfigOut = last("write-kubeconfig", "K3S_KUBECONFIG_OUTPUT", "")
	c.bindAddress = last("bind-address", "", "")
	c.dataDir = last("data-dir", "K3S_DATA_DIR", "/var/lib/rancher/k3s")
	c.etcDir = envOr(env, "STANDIN_ETC", "/etc/rancher")
	c.runDir = envOr(env, "STANDIN_RUN", "/run/k3s")
	c.tlsSANs = splitAll(flags["tls-san"])
	c.nodeLabels = splitAll(flags["node-label"])
	c.nodeTaints = splitAll(flags["node-taint"])
	c.disabled = map[string]bool{}
	for _, component := range splitAll(append(flags["disable"], flags["no-deploy"]...)) {
		c.disabled[strings.TrimSuffix(component, ".yaml")] = true
	}
	var err error
	if c.clusterInit, err = parseSwitch(last("cluster-init", "K3S_CLUSTER_INIT", "false")); err != nil {
		return fmt.Errorf("cluster-init: %w", err)
	}
	if c.port, err = strconv.Atoi(last("https-listen-port", "", "6443")); err != nil {
		return fmt.Errorf("https-listen-port: %w", err)
	}
	c.datastore = datastoreConfig{
		endpoint: last("datastore-endpoint", "K3S_DATASTORE_ENDPOINT", ""),
		cafile:   last("datastore-cafile", "K3S_DATASTORE_CAFILE", ""),
		certfile: last("datastore-certfile", "K3S_DATASTORE_CERTFILE", ""),
		keyfile:  last("datastore-keyfile", "K3S_DATASTORE_KEYFILE", ""),
	}
	for _, unplayed := range []string{"cluster-reset", "cluster-reset-restore-path"} {
		if len(flags[unplayed]) > 0 {
			return fmt.Errorf("stand-in: --%s is not played", unplayed)
		}
	}
	c.nodeIP, err = nodeAddress(last("node-ip", "K3S_NODE_IP", ""))
	return err
}

func parseSwitch(text string) (bool, error) { return strconv.ParseBool(text) }

func splitAll(values []string) []string {
	var all []string
	for _, v := range values {
		for _, part := range strings.Split(v, ",") {
			if part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// nodeAddress returns the given address or, like k3s, the one of the interface
// towards other machines; in a container that is the first one that is not
// loopback.
func nodeAddress(given string) (string, error) {
	if given != "" {
		if net.ParseIP(given) == nil {
			return "", fmt.Errorf("invalid node-ip %q", given)
		}
		return given, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String(), nil
		}
	}
	return "127.0.0.1", nil
}

// fromStandin reads the variables that set speed and failures.
func (c *config) fromStandin(env lookup) error {
	switch v := envOr(env, "STANDIN_DATASTORE", "auto"); v {
	case "auto":
	case "none":
		c.noDatastore = true
	default:
		return fmt.Errorf("STANDIN_DATASTORE: %q is neither auto nor none", v)
	}
	switch v := envOr(env, "STANDIN_REMEMBERS", "false"); v {
	case "true", "false":
		c.remembers = v == "true"
	default:
		return fmt.Errorf("STANDIN_REMEMBERS: %q is neither true nor false", v)
	}
	if err := c.readTimes(env); err != nil {
		return err
	}
	return c.readFaults(env)
}

func (c *config) readTimes(env lookup) error {
	scale, err := positive(env, "STANDIN_SCALE", 1)
	if err != nil {
		return err
	}
	c.times = measured()
	stretch(c.times.moments(), scale)
	stretch(c.times.periods(), scale)
	c.times.applyFloors()
	if text := envOr(env, "STANDIN_READY", ""); text != "" {
		after, err := time.ParseDuration(text)
		if err != nil || after < 0 {
			return fmt.Errorf("STANDIN_READY: %q is not a duration such as 1s", text)
		}
		c.times = readyAfter(after)
	}
	if _, set := env("STANDIN_TICK"); set {
		tick, err := positive(env, "STANDIN_TICK", 15)
		if err != nil {
			return err
		}
		c.times.promoteTick = time.Duration(tick * float64(time.Second))
	}
	return c.readSlow(env)
}

func (c *config) readSlow(env lookup) error {
	text := envOr(env, "STANDIN_SLOW", "")
	if text == "" {
		return nil
	}
	number, pattern, _ := strings.Cut(text, "@")
	factor, err := strconv.ParseFloat(number, 64)
	if err != nil || factor <= 0 {
		return fmt.Errorf("STANDIN_SLOW: %q must be <factor>[@<node>] with a positive factor", text)
	}
	matched, err := matchNode(pattern, c.nodeName)
	if err != nil {
		return fmt.Errorf("STANDIN_SLOW: %q: %w", text, err)
	}
	if matched {
		stretch(c.times.moments(), factor)
	}
	return nil
}

func positive(env lookup, name string, fallback float64) (float64, error) {
	text := envOr(env, name, "")
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 || n > 1000 {
		return 0, fmt.Errorf("%s: %q is not a number above 0 and up to 1000", name, text)
	}
	return n, nil
}

func (c *config) readFaults(env lookup) error {
	c.faults.countDir = filepath.Join(c.dataDir, "standin")
	for variable, kind := range map[string]string{"STANDIN_CRASH": "crash", "STANDIN_HANG": "hang", "STANDIN_OOM": "oom"} {
		list, err := parseFaults(kind, envOr(env, variable, ""), c.nodeName)
		if err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
		for i := range list {
			list[i].says = envOr(env, "STANDIN_SAYS", "")
		}
		c.faults.list = append(c.faults.list, list...)
	}
	if pattern := envOr(env, "STANDIN_DISK_PRESSURE", ""); pattern != "" {
		matched, err := matchNode(pattern, c.nodeName)
		if err != nil {
			return fmt.Errorf("STANDIN_DISK_PRESSURE: %w", err)
		}
		c.faults.diskFull = matched
	}
	if pattern := envOr(env, "STANDIN_NEVER_READY", ""); pattern != "" {
		matched, err := matchNode(pattern, c.nodeName)
		if err != nil {
			return fmt.Errorf("STANDIN_NEVER_READY: %w", err)
		}
		c.faults.neverReady = matched
	}
	c.unavailable = envOr(env, "STANDIN_NEVER_AVAILABLE", "")
	if _, err := path.Match(c.unavailable, ""); err != nil {
		return fmt.Errorf("STANDIN_NEVER_AVAILABLE: %w", err)
	}
	return nil
}

// neverAvailable says whether a workload of kube-system is ordered to stay unavailable.
func (c *config) neverAvailable(workload string) bool {
	matched, _ := path.Match(c.unavailable, workload)
	return matched
}

func (c *config) check() error {
	if err := c.datastore.check(c); err != nil {
		return err
	}
	if c.role == "agent" && c.serverURL == "" {
		return errors.New("--server is required")
	}
	if c.role == "agent" && c.token == "" {
		return errors.New("--token is required")
	}
	if c.serverURL != "" {
		u, err := url.Parse(c.serverURL)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("only https:// URLs are supported, invalid scheme: %s", c.serverURL)
		}
		if c.token == "" {
			return errors.New("starting kubernetes: preparing server: token is required to join a cluster")
		}
	}
	return nil
}

// ownAddress is where the server's own clients reach it.
func (c *config) ownAddress() string {
	host := c.bindAddress
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(c.port))
}

func (c *config) serverDir(parts ...string) string {
	return filepath.Join(append([]string{c.dataDir, "server"}, parts...)...)
}

func (c *config) agentDir(parts ...string) string {
	return filepath.Join(append([]string{c.dataDir, "agent"}, parts...)...)
}

func (c *config) registriesFile() string { return filepath.Join(c.etcDir, "k3s", "registries.yaml") }
