package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// joinClient asks a running server for what a joining one needs.
type joinClient struct{ client *nodeClient }

// fetchBootstrap gets the cluster's authorities from the server to join and
// stores them. Every failure is final: the restart policy tries again.
func fetchBootstrap(cfg *config) (*joinClient, error) {
	token, err := parseToken(cfg.token)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	base := "https://" + hostOf(cfg.serverURL)
	ca, err := fetchCA(dialer.DialContext, base)
	if err != nil {
		return nil, err
	}
	if token.caHash != "" && token.caHash != hashOf(ca) {
		return nil, caMismatch(token.caHash, ca)
	}
	client, err := newNodeClient(base, dialer.DialContext, ca, "server", token.password)
	if err != nil {
		return nil, err
	}
	data, err := client.get("/v1-k3s/server-bootstrap")
	var refused *statusError
	if errors.As(err, &refused) && refused.code == 401 {
		return nil, fmt.Errorf("token is not valid for the cluster CA at %s: %w", base, err)
	}
	if errors.As(err, &refused) && refused.code == 400 {
		return nil, fmt.Errorf("%w: etcd disabled", err)
	}
	if err != nil {
		return nil, err
	}
	return &joinClient{client}, saveBootstrap(cfg, data)
}

func (j *joinClient) members() ([]member, error) {
	raw, err := j.client.get("/db/info")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Members []member `json:"members"`
	}
	return answer.Members, json.Unmarshal(raw, &answer)
}
