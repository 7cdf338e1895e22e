// Package externalscaler is KEDA's externalscaler protocol as Go code: messages,
// client and server, made from externalscaler.proto and from nothing of KEDA's
// module, whose dependencies are many. It holds no rule about what the messages
// mean: see package externalgrpc.
//
// To make it anew, with protoc on the path and the two plugins installed:
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.1
//	go generate ./adapter/source/externalgrpc/externalscaler
package externalscaler

//go:generate protoc --proto_path=../../../.. --go_out=../../../.. --go_opt=paths=source_relative --go-grpc_out=../../../.. --go-grpc_opt=paths=source_relative adapter/source/externalgrpc/externalscaler/externalscaler.proto
