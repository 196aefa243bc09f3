package main

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// runAgent plays an agent: it never gives up, whatever its server does.
func runAgent(cfg *config) error {
	start := time.Now()
	sleepUntil(start, cfg.times.starting)
	infof("Starting k3s agent %s (%s)", cfg.version, commitHash)
	cfg.faults.reach(stageStart)
	if err := noteRegistries(cfg); err != nil {
		return err
	}
	u, err := url.Parse(cfg.serverURL)
	if err != nil {
		return err
	}
	balancer := newBalancer(cfg, u.Host)
	infof("Running load balancer 127.0.0.1:6444 -> %v", balancer.addresses())
	client, err := connect(cfg, balancer)
	if err != nil {
		return err
	}
	k := &kubelet{cfg: cfg, client: client, balancer: balancer}
	if err := k.configure(); err != nil {
		return err
	}
	k.base = time.Now()
	cfg.faults.reach(stageAPI)
	k.times = kubeletTimes{cfg.times.agentContainerd, cfg.times.agentConnect, cfg.times.agentKubelet, cfg.times.agentRegister}
	k.startContainerd()
	k.connectTunnel(u.Host)
	return k.run()
}

// connect fetches the cluster's CA, again and again until the server answers.
func connect(cfg *config, b *balancer) (*nodeClient, error) {
	token, err := parseToken(cfg.token)
	if err != nil {
		return nil, err
	}
	for {
		ca, err := fetchCA(b.dial, "https://127.0.0.1:6444")
		if err == nil {
			if token.caHash == "" || token.caHash == hashOf(ca) {
				return newNodeClient("https://127.0.0.1:6444", b.dial, ca, "node", token.password)
			}
			err = caMismatch(token.caHash, ca)
		}
		logf(levelError, "%v", err)
		time.Sleep(cfg.times.caRetry)
	}
}

// startAgentPart runs a server's own kubelet.
func (s *server) startAgentPart(base time.Time, failed chan<- error) {
	address := s.cfg.ownAddress()
	if s.proxy != nil {
		address = hostOf(s.cfg.serverURL)
	}
	b := &balancer{servers: []string{address}}
	client, err := newNodeClient("https://"+address, b.dial, s.pki.serverCA.certPEM, "node", s.pki.token)
	if err != nil {
		failed <- err
		return
	}
	t := s.cfg.times
	k := &kubelet{cfg: s.cfg, client: client, base: base, etcd: s.etcd != nil,
		times: kubeletTimes{t.containerd, t.containerd, t.kubelet, t.register}}
	k.startContainerd()
	for !s.at(phaseAPI) {
		time.Sleep(minPeriod / 4)
	}
	if err := k.configure(); err != nil {
		failed <- err
		return
	}
	k.connectTunnel(address)
	failed <- k.run()
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	return u.Host
}

// configure gets this node's certificates. The first request is also the one
// that shows its password.
func (k *kubelet) configure() error {
	password, err := ownPassword(k.cfg)
	if err != nil {
		return err
	}
	k.client.identify(k.cfg.nodeName, password, k.cfg.nodeIP)
	for {
		err := k.fetchCerts()
		if err == nil {
			return nil
		}
		var refused *statusError
		if errors.As(err, &refused) && refused.code == 403 {
			err = errors.New("Node password rejected, duplicate hostname or contents of '" + k.cfg.etcDir + "/node/password' may not " +
				"match server node-passwd entry, try enabling a unique node name with the --with-node-id flag")
		}
		logf(levelError, "Failed to configure agent: %v", err)
		time.Sleep(k.cfg.times.configRetry)
	}
}

func (k *kubelet) fetchCerts() error {
	if _, err := k.client.get("/v1-k3s/serving-kubelet.crt"); err != nil {
		return err
	}
	both, err := k.client.get("/v1-k3s/client-kubelet.crt")
	if err != nil {
		return err
	}
	split := strings.Index(string(both), "-----BEGIN EC PRIVATE KEY")
	if split < 0 {
		return errors.New("no key in the answer to /v1-k3s/client-kubelet.crt")
	}
	if err := k.writeKubeconfig(both[:split], both[split:]); err != nil {
		return err
	}
	return k.client.useCert(both[:split], both[split:])
}

// writeKubeconfig is an agent's kubelet.kubeconfig. k3s's names its own load
// balancer; there is none here, so it names the server.
func (k *kubelet) writeKubeconfig(cert, key []byte) error {
	if k.cfg.role == "server" {
		return nil
	}
	c := kubeconfig{server: k.cfg.serverURL, serverName: "kubernetes", ca: k.client.ca, cert: cert, key: key}
	file := filepath.Join(k.cfg.dataDir, "agent", "kubelet.kubeconfig")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, c.render(), 0o600)
}
