package kafkaconn_test

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/stackjoin/stackjoin/internal/kafkaconn"
)

func TestPasswordMechanisms(t *testing.T) {
	for mechanism, name := range map[kafkaconn.Mechanism]string{
		kafkaconn.Plain: "PLAIN", kafkaconn.ScramSHA256: "SCRAM-SHA-256", kafkaconn.ScramSHA512: "SCRAM-SHA-512",
	} {
		t.Run(string(mechanism), func(t *testing.T) {
			cluster := newCluster(t, kfake.EnableSASL(), kfake.Superuser(name, "alice", "tiger"))
			dir := t.TempDir()
			file := write(t, dir, "password", []byte("tiger-not-yet\n"))
			var log lines
			c := kafkaconn.Config{Brokers: cluster.ListenAddrs(), SASL: kafkaconn.SASL{
				Mechanism: mechanism, Username: "alice", Password: "tiger",
			}}
			if err := ping(t, newClient(t, c, log.logger(kafkaconn.LevelTrace))); err != nil {
				t.Fatal(err)
			}
			c.SASL.PasswordFile = file // wins over the good password
			client := newClient(t, c, log.logger(kafkaconn.LevelTrace))
			err := ping(t, client)
			if err == nil {
				t.Fatal("connected with a wrong password")
			}
			hides(t, err.Error(), "tiger")
			write(t, dir, "password", []byte("tiger\n"))
			if err := ping(t, client); err != nil {
				t.Errorf("after the file changed: %v", err)
			}
			hides(t, log.String(), "tiger")
		})
	}
}

func TestNoLoginIsRefused(t *testing.T) {
	cluster := newCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "tiger"))
	if err := ping(t, newClient(t, kafkaconn.Config{Brokers: cluster.ListenAddrs()}, slog.New(slog.DiscardHandler))); err == nil {
		t.Error("connected without a login")
	}
}
