package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// etcdMembersCommand is a command real k3s does not have: it speaks to etcd
// with the certificate files of a server, as a tool outside it would.
const etcdMembersCommand = "standin-etcd"

func etcdMembersMain(args []string) int {
	if err := etcdTool(args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", etcdMembersCommand, err)
		return 1
	}
	return 0
}

func etcdTool(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: k3s " + etcdMembersCommand + " https://HOST:2379 members | promote ID | remove ID")
	}
	dir := filepath.Join(dataDirFromEnv(), "server", "tls", "etcd")
	client, err := toolClient(args[0], dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if args[1] == "members" && len(args) == 2 {
		members, err := client.memberList(ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(members)
	}
	if len(args) != 3 {
		return errors.New("an ID is needed")
	}
	id, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	switch args[1] {
	case "promote":
		return client.promote(ctx, id)
	case "remove":
		return client.removeMember(ctx, id)
	}
	return fmt.Errorf("unknown action %q", args[1])
}

func toolClient(endpoint, dir string) (*etcdClient, error) {
	client, err := loadPair(filepath.Join(dir, "client"))
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "server-ca.crt"))
	if err != nil {
		return nil, err
	}
	authority, err := parsePair(raw, nil)
	if err != nil {
		return nil, err
	}
	return newEtcdClient(endpoint, &etcdCerts{authority: authority, client: client})
}
