package event

// containerIDLen is the length of the id that Docker, containerd and CRI-O give.
const containerIDLen = 64

// ContainerOf finds the container in a control group's path: the last 64
// hexadecimal digits that stand alone, as in
// "/system.slice/docker-<id>.scope" or "/kubepods/…/cri-containerd-<id>.scope".
// ok is false outside containers.
func ContainerOf(cgroupPath []byte) (id []byte, ok bool) {
	run := 0
	for i := len(cgroupPath) - 1; i >= -1; i-- {
		if i >= 0 && isHex(cgroupPath[i]) {
			run++
			continue
		}
		if run == containerIDLen {
			return cgroupPath[i+1 : i+1+run], true
		}
		run = 0
	}
	return nil, false
}
