// A device plugin that offers /dev/kvm to pods under the name that KubeVirt's has, for nodes without KubeVirt.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource = "devices.kubevirt.io/kvm"
	endpoint = "virt-otel-lab-kvm.sock"
	device   = "/dev/kvm"
	// As many VMs may use it at a time; the tests start a few.
	places = 50
	// How often it looks whether the kubelet has removed the socket, which it does when it starts.
	look = time.Second
)

type plugin struct {
	api.UnimplementedDevicePluginServer
}

func (plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	devices := make([]*api.Device, places)
	for i := range devices {
		devices[i] = &api.Device{ID: fmt.Sprintf("kvm%d", i), Health: api.Healthy}
	}
	if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{
			Devices: []*api.DeviceSpec{{ContainerPath: device, HostPath: device, Permissions: "rw"}},
		})
	}
	return response, nil
}

func register(ctx context.Context) error {
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = api.NewRegistrationClient(connection).Register(ctx, &api.RegisterRequest{
		Version:      api.Version,
		Endpoint:     endpoint,
		ResourceName: resource,
	}, grpc.WaitForReady(true))
	return err
}

// serve offers the device until the kubelet wants to be told anew.
func serve() error {
	socket := filepath.Join(api.DevicePluginPath, endpoint)
	if err := os.RemoveAll(socket); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	defer server.Stop()
	api.RegisterDevicePluginServer(server, plugin{})
	go func() { _ = server.Serve(listener) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := register(ctx); err != nil {
		return err
	}
	log.Printf("registered %s", resource)
	for {
		time.Sleep(look)
		if _, err := os.Stat(socket); err != nil {
			return nil
		}
	}
}

func main() {
	for {
		if err := os.MkdirAll(api.DevicePluginPath, 0o750); err != nil {
			log.Fatal(err)
		}
		if err := serve(); err != nil {
			log.Printf("%s is not offered: %v", device, err)
			time.Sleep(look)
		}
	}
}
