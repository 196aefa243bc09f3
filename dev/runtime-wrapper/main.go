// Command runtime-wrapper is an OCI runtime that asks runc for no more than
// this machine can give.
//
// In some sandboxes (nested virtual machines, CI runners) root lacks a
// capability, most often CAP_SYS_RESOURCE. "docker run --privileged" asks runc
// for all of them and fails with "unable to apply caps: operation not
// permitted", at the container's create and at every exec. This program stands
// between containerd's shim and runc: it takes out of the request what we
// cannot grant, then becomes runc with the very same arguments.
//
// It is on the path of every container start, exec and removal (the shim calls
// the runtime four times in a container's life), so it is compiled, reads no
// more than one file, and replaces itself by runc instead of waiting for it.
// Measured with dev/runtime-wrapper/measure; the figures are in its comment.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// runc is the runtime that does the work; dev/engine sets its full path at
// build time (-ldflags -X), because a shim's PATH is its daemon's.
var runc = "runc"

func main() {
	if err := relax(os.Args[1:]); err != nil {
		// runc will say what is wrong with the request better than we can;
		// what it can't know is that we left the request as it was.
		fmt.Fprintln(os.Stderr, "runtime-wrapper: request left as it was:", err)
	}
	path, err := exec.LookPath(runc)
	if err == nil {
		err = syscall.Exec(path, append([]string{runc}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintf(os.Stderr, "runtime-wrapper: cannot run %s: %v\n", runc, err)
	os.Exit(127)
}

// relax rewrites the file that holds the request, for the verbs that have one.
func relax(args []string) error {
	path, wholeSpec := requestFile(args)
	if path == "" {
		return nil
	}
	request, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	have, err := bounds()
	if err != nil {
		return err
	}
	change := have.relaxProcess
	if wholeSpec {
		change = func(spec []byte) ([]byte, error) { return inMember(spec, "process", have.relaxProcess) }
	}
	relaxed, err := change(request)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, relaxed, 0o600) // an existing file keeps its mode
}

// runc's flags that take their value from the next argument. All other flags
// are switches, or carry their value after "=".
var (
	globalValues = words("root log log-format criu rootless")
	verbValues   = map[string]map[string]bool{
		"create":  words("bundle b console-socket pid-file preserve-fds"),
		"run":     words("bundle b console-socket pid-file preserve-fds"),
		"restore": words("bundle b console-socket pid-file image-path work-path manage-cgroups-mode empty-ns lsm-profile lsm-mount-context"),
		"exec": words("process p console-socket pid-file cwd env e user u additional-gids g process-label apparmor " +
			"cap c preserve-fds cgroup"),
	}
)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(s) {
		set[word] = true
	}
	return set
}

// requestFile finds the file that says what the container's process shall get:
// the bundle's config.json (a whole spec) or exec's --process (a process alone).
// It is "" for verbs that start nothing.
func requestFile(args []string) (path string, wholeSpec bool) {
	_, rest := flags(args, globalValues)
	if len(rest) == 0 {
		return "", false
	}
	valued, starts := verbValues[rest[0]]
	if !starts {
		return "", false
	}
	given, _ := flags(rest[1:], valued)
	if rest[0] == "exec" {
		return first(given["process"], given["p"]), false
	}
	return first(given["bundle"], given["b"], ".") + "/config.json", true
}

// flags reads flags up to the first plain argument, as runc's parser does.
func flags(args []string, valued map[string]bool) (given map[string]string, rest []string) {
	given = map[string]string{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return given, args[i+1:]
		}
		if len(arg) < 2 || arg[0] != '-' {
			return given, args[i:]
		}
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !joined && valued[name] && i+1 < len(args) {
			i++
			value = args[i]
		}
		given[name] = value
	}
	return given, nil
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// limits is what we have ourselves and so can pass on.
type limits struct {
	capabilities uint64 // the bounding set
	raises       bool   // CAP_SYS_RESOURCE: may raise hard limits, lower OOM scores
	oomScore     int
}

const sysResource = 24

func bounds() (limits, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return limits{}, err
	}
	_, line, found := strings.Cut(string(status), "CapBnd:\t")
	if !found || len(line) < 16 {
		return limits{}, fmt.Errorf("no CapBnd in /proc/self/status")
	}
	set, err := strconv.ParseUint(line[:16], 16, 64)
	if err != nil {
		return limits{}, err
	}
	have := limits{capabilities: set, raises: set&(1<<sysResource) != 0}
	if score, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil {
		have.oomScore, _ = strconv.Atoi(strings.TrimSpace(string(score)))
	}
	return have, nil
}

// object is a JSON object of which we understand some members; the others keep
// their bytes, whatever a newer engine writes there.
type object map[string]json.RawMessage

// inMember rewrites one member of an object, if it is there.
func inMember(data []byte, name string, change func([]byte) ([]byte, error)) ([]byte, error) {
	var whole object
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, err
	}
	member, found := whole[name]
	if !found || string(member) == "null" {
		return data, nil
	}
	changed, err := change(member)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	whole[name] = changed
	return json.Marshal(whole)
}

func (have limits) relaxProcess(data []byte) ([]byte, error) {
	var process object
	if err := json.Unmarshal(data, &process); err != nil {
		return nil, err
	}
	if raw, found := process["capabilities"]; found {
		var sets map[string][]string
		if err := json.Unmarshal(raw, &sets); err != nil {
			return nil, fmt.Errorf("capabilities: %w", err)
		}
		for name, set := range sets {
			sets[name] = have.grantable(set)
		}
		process["capabilities"], _ = json.Marshal(sets)
	}
	if !have.raises {
		var score int
		if json.Unmarshal(process["oomScoreAdj"], &score) == nil && score < have.oomScore {
			delete(process, "oomScoreAdj")
		}
		if raw, found := process["rlimits"]; found {
			limits, err := lowerRlimits(raw)
			if err != nil {
				return nil, fmt.Errorf("rlimits: %w", err)
			}
			process["rlimits"] = limits
		}
	}
	return json.Marshal(process)
}

// grantable keeps the capabilities we have. A name we don't know is kept: it is
// newer than this list, and for runc to judge.
func (have limits) grantable(set []string) []string {
	kept := []string{}
	for _, name := range set {
		bit, known := capabilities[name]
		if !known || have.capabilities&(1<<bit) != 0 {
			kept = append(kept, name)
		}
	}
	return kept
}

type rlimit struct {
	Type string `json:"type"`
	Hard uint64 `json:"hard"`
	Soft uint64 `json:"soft"`
}

// lowerRlimits brings limits down to the hard ones we have ourselves.
func lowerRlimits(raw []byte) ([]byte, error) {
	var asked []rlimit
	if err := json.Unmarshal(raw, &asked); err != nil {
		return nil, err
	}
	for i := range asked {
		resource, known := resources[asked[i].Type]
		var ours syscall.Rlimit
		if !known || syscall.Getrlimit(resource, &ours) != nil {
			continue
		}
		asked[i].Hard = lower(asked[i].Hard, ours.Max)
		asked[i].Soft = lower(asked[i].Soft, asked[i].Hard)
	}
	return json.Marshal(asked)
}

func lower(a, b uint64) uint64 {
	if a < b {
		return a
	}
	return b
}

// Numbers of <linux/capability.h>.
var capabilities = numbered(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
	BPF CHECKPOINT_RESTORE`)

func numbered(names string) map[string]int {
	numbers := map[string]int{}
	for number, name := range strings.Fields(names) {
		numbers["CAP_"+name] = number
	}
	return numbers
}

// Numbers of <asm-generic/resource.h>, the same on amd64 and arm64.
var resources = map[string]int{
	"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
	"RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
	"RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}
