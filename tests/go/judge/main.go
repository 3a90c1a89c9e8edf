// Judge feeds the expected stdout of vectors (spec/vectors) to containernetworking's own types, so that not only our
// reading of the specification stands behind them. Arguments: vector folders. Prints one line per bad vector and a
// count; exits 1 when one is bad.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/version"
)

func main() {
	judged, bad := 0, 0
	for _, folder := range os.Args[1:] {
		stdout, err := os.ReadFile(filepath.Join(folder, "stdout.json"))
		if strings.TrimSpace(string(stdout)) == "null" {
			continue // silence
		}
		if err == nil {
			err = judge(filepath.Base(filepath.Dir(folder)), stdout)
		}
		judged++
		if err != nil {
			bad++
			fmt.Printf("%s/%s: %v\n", filepath.Base(filepath.Dir(folder)), filepath.Base(folder), err)
		}
	}
	fmt.Printf("%d judged, %d bad\n", judged, bad)
	if bad > 0 {
		os.Exit(1)
	}
}

func judge(cniVersion string, stdout []byte) error {
	document := map[string]any{}
	if err := json.Unmarshal(stdout, &document); err != nil {
		return err
	}
	if document["cniVersion"] != cniVersion || !slices.Contains(version.All.SupportedVersions(), cniVersion) {
		return fmt.Errorf("cniVersion %v", document["cniVersion"])
	}
	if _, found := document["code"]; found {
		parsed := types.Error{}
		if err := json.Unmarshal(stdout, &parsed); err != nil || float64(parsed.Code) != document["code"] || parsed.Code == 0 {
			return errors.Join(err, fmt.Errorf("error code %v", document["code"]))
		}
		return nil
	}
	if _, found := document["supportedVersions"]; found {
		_, err := (&version.PluginDecoder{}).Decode(stdout)
		return err
	}
	return judgeResult(cniVersion, stdout, document)
}

// judgeResult holds when the types read the whole document, write it again as it was, and keep every address on the
// way to the current version and back.
func judgeResult(cniVersion string, stdout []byte, document map[string]any) error {
	result, err := create.Create(cniVersion, stdout)
	if err != nil {
		return err
	}
	now, err := current.GetResult(result)
	if err != nil {
		return err
	}
	back, err := now.GetAsVersion(cniVersion)
	if err != nil {
		return err
	}
	if written, err := write(result); err != nil || result.Version() != cniVersion || !reflect.DeepEqual(written, document) {
		return errors.Join(err, fmt.Errorf("read as %v", written))
	}
	there, err := write(back)
	if err != nil || len(now.IPs) == 0 || !reflect.DeepEqual(addresses(there), addresses(document)) {
		return errors.Join(err, fmt.Errorf("addresses come back as %v", addresses(there)))
	}
	return nil
}

// write marshals a result; up to 0.4.0 the types print an empty dns where there was none.
func write(result types.Result) (map[string]any, error) {
	text, err := json.Marshal(result)
	if err != nil {
		return nil, err
	}
	document := map[string]any{}
	err = json.Unmarshal(text, &document)
	if dns, ok := document["dns"].(map[string]any); ok && len(dns) == 0 {
		delete(document, "dns")
	}
	return document, err
}

// addresses lists, in order, what stands under ips or under ip4 and ip6, without the gateways and routes.
func addresses(document map[string]any) []any {
	list, _ := document["ips"].([]any)
	found := []any{}
	for _, one := range append(list, document["ip4"], document["ip6"]) {
		if ip, ok := one.(map[string]any); ok {
			found = append(found, ip["version"], ip["address"], ip["ip"])
		}
	}
	return found
}
