/* script: cluster/limits.lua and cluster/suppression.lua, each as one string, made at build time. */
#ifndef SENDPOST_CLUSTER_SCRIPT_H
#define SENDPOST_CLUSTER_SCRIPT_H

extern const char cluster_limits_script[];
extern const char cluster_suppression_script[];

#endif
