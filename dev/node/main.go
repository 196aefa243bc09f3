// Command k3s is a stand-in for a k3s node: it speaks, waits, refuses and
// fails like one, but runs no workloads. See README.md.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
)

func main() {
	tuneRuntime()
	os.Exit(dispatch(filepath.Base(os.Args[0]), os.Args[1:]))
}

// tuneRuntime keeps a node small and quiet: a test machine holds dozens. One
// thread for Go code, because with two the idle scheduler and collector alone
// took 1 % of a core (0.4 % with one, both at a scale of 0.1). The limit is a
// guard only: near it, the collector never rests.
func tuneRuntime() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(24 << 20)
}

// dispatch picks the tool from the name the binary was called by, as k3s's
// multicall binary does.
func dispatch(name string, args []string) int {
	switch name {
	case "kubectl":
		return kubectlMain(args)
	case "ctr":
		return ctrMain(args)
	case "crictl":
		return crictlMain(args)
	}
	return k3sMain(args)
}

func k3sMain(args []string) int {
	if len(args) == 0 {
		return usageError("a command is needed: server, agent, kubectl, ctr or crictl")
	}
	switch args[0] {
	case "--version", "-v":
		fmt.Printf("k3s version %s (%s)\n", versionFromEnv(), commitHash)
		return 0
	case "server", "agent":
		return nodeMain(args[0], args[1:])
	case "kubectl", "ctr", "crictl":
		return dispatch(args[0], args[1:])
	case etcdMembersCommand:
		return etcdMembersMain(args[1:])
	}
	return usageError("No help topic for '" + args[0] + "'")
}

func usageError(text string) int {
	fmt.Fprintln(os.Stderr, text)
	return 1
}

// nodeMain runs a server or an agent until it is told to stop or fails. Like
// k3s it never exits 0.
func nodeMain(role string, args []string) int {
	cfg, err := loadConfig(role, args, os.LookupEnv)
	if err != nil {
		logf(levelFatal, "%v", err)
		return 1
	}
	go exitOnSignal()
	if role == "server" {
		err = runServer(cfg)
	} else {
		err = runAgent(cfg)
	}
	fatal(err)
	return 1
}
