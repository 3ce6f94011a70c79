// go build worker.go && sudo llb run --ready-when ready -- ./worker
package main

import "encoding/json"
import "net/http"
import "os"

func main() {
	go func() { panic(http.ListenAndServe("127.0.0.1:8080", http.FileServer(http.Dir(".")))) }()
	if os.Getenv("LLB_FD") != "" {
		llb, ping := os.NewFile(3, "llb"), map[string]any{}
		llb.WriteString("{\"cmd\":\"ready\"}\n")
		for messages := json.NewDecoder(llb); messages.Decode(&ping) == nil && ping["cmd"] == "ping"; {
			json.NewEncoder(llb).Encode(map[string]any{"cmd": "pong", "id": ping["id"]})
		}
	}
	select {} // llb has said that SIGTERM will come, or has ended, or never was: serve on
}
