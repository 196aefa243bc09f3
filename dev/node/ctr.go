package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	ctrValued   = words(`n namespace a address platform base-name index-name snapshotter timeout`)
	ctrSwitches = words(`all-platforms digests no-unpack q quiet local`)
)

const ctrUsage = "the stand-in's ctr knows: images import [--all-platforms] FILE|-, images ls [-q]"

// splitCtr separates words from flags; an unknown flag is an error, since it
// would change what is done.
func splitCtr(args []string) ([]string, map[string]bool, error) {
	var positional []string
	given := map[string]bool{}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") || args[i] == "-" {
			positional = append(positional, args[i])
			continue
		}
		name, _, has := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !ctrValued[name] && !ctrSwitches[name] {
			return nil, nil, fmt.Errorf("flag provided but not defined: %s", args[i])
		}
		if ctrValued[name] && !has {
			i++
		}
		given[name] = true
	}
	return positional, given, nil
}

func ctrMain(args []string) int {
	if err := ctrRun(args); err != nil {
		fmt.Fprintf(os.Stderr, "ctr: %v\n", err)
		return 1
	}
	return 0
}

func ctrRun(args []string) error {
	positional, flags, err := splitCtr(args)
	if err != nil {
		return err
	}
	if len(positional) < 2 || !(positional[0] == "image" || positional[0] == "images" || positional[0] == "i") {
		return errors.New(ctrUsage)
	}
	if err := containerdRuns(); err != nil {
		return err
	}
	switch positional[1] {
	case "import":
		if len(positional) != 3 {
			return errors.New("please provide a path to an image archive")
		}
		return importImages(positional[2])
	case "ls", "list":
		return listImages(flags["q"] || flags["quiet"])
	}
	return errors.New(ctrUsage)
}

// containerdRuns fails while the node has not come that far.
func containerdRuns() error {
	socket := containerdSocket(envOr(os.LookupEnv, "STANDIN_RUN", "/run/k3s"))
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("failed to dial %q: %w", socket, err)
	}
	return conn.Close()
}

// importOrder is how imports are to go wrong on this node: "fail" at once,
// "hang" without reading, "forget" what was read and say that all is well.
func importOrder() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	for _, item := range strings.Split(os.Getenv("STANDIN_IMPORT"), ",") {
		order, node, _ := strings.Cut(item, "@")
		if item == "" {
			continue
		}
		if order != "fail" && order != "hang" && order != "forget" {
			return "", fmt.Errorf("STANDIN_IMPORT: %q: expected fail, hang or forget", item)
		}
		if matched, err := matchNode(node, host); err != nil || matched {
			return order, err
		}
	}
	return "", nil
}

func importImages(source string) error {
	order, err := importOrder()
	if err != nil {
		return err
	}
	switch order {
	case "fail":
		return errors.New("stand-in: failure of an import ordered")
	case "hang":
		for { // the runtime takes an empty select in a lone goroutine for a deadlock
			time.Sleep(time.Hour)
		}
	}
	var from io.Reader = os.Stdin
	if source != "-" {
		f, err := os.Open(source)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	a, err := readArchive(from)
	if err != nil {
		return err
	}
	list := a.images()
	if order != "forget" {
		if err := recordImages(list); err != nil {
			return err
		}
	}
	for _, i := range list {
		fmt.Printf("unpacking %s (%s)...done\n", i.Name, i.Digest)
	}
	return nil
}

func listImages(quiet bool) error {
	list, err := sortedImages()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 1, ' ', 0)
	if !quiet {
		fmt.Fprintln(w, "REF\tTYPE\tDIGEST\tSIZE\tPLATFORMS\tLABELS")
	}
	for _, i := range list {
		if quiet {
			fmt.Fprintln(w, i.Name)
			continue
		}
		fmt.Fprintf(w, "%s\tapplication/vnd.docker.distribution.manifest.v2+json\t%s\t%.1f MiB\t-\t-\n", i.Name, i.Digest, float64(i.Size)/(1<<20))
	}
	return w.Flush()
}

func crictlMain(args []string) int {
	if err := crictlRun(args); err != nil {
		fmt.Fprintf(os.Stderr, "crictl: %v\n", err)
		return 1
	}
	return 0
}

// crictlRun is "crictl images [-q|-o json]".
func crictlRun(args []string) error {
	if len(args) == 0 || !(args[0] == "images" || args[0] == "image" || args[0] == "img") {
		return errors.New("the stand-in's crictl knows: images [-q | -o json]")
	}
	if err := containerdRuns(); err != nil {
		return err
	}
	list, err := sortedImages()
	if err != nil {
		return err
	}
	switch strings.Join(args[1:], " ") {
	case "":
		return printCrictl(list)
	case "-q", "--quiet":
		for _, i := range list {
			fmt.Println(i.Digest)
		}
		return nil
	case "-o json", "-o=json", "--output json", "--output=json":
		return printCrictlJSON(list)
	}
	return fmt.Errorf("the stand-in does not know these arguments: %s", strings.Join(args[1:], " "))
}

func printCrictl(list []image) error {
	w := tabwriter.NewWriter(os.Stdout, 20, 1, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tTAG\tIMAGE ID\tSIZE")
	for _, i := range list {
		at := strings.LastIndex(i.Name, ":")
		fmt.Fprintf(w, "%s\t%s\t%.13s\t%dB\n", i.Name[:at], i.Name[at+1:], strings.TrimPrefix(i.Digest, "sha256:"), i.Size)
	}
	return w.Flush()
}

func printCrictlJSON(list []image) error {
	items := []object{}
	for _, i := range list {
		items = append(items, object{"id": i.Digest, "repoTags": []string{i.Name}, "size": fmt.Sprint(i.Size)})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object{"images": items})
}
