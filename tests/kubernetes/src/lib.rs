//! A real control plane, a real KEDA, helm, and a kubelet that runs the
//! containers of pods as local processes.
