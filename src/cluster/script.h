/* script: cluster/limits.lua as one string, made at build time. */
#ifndef SENDPOST_CLUSTER_SCRIPT_H
#define SENDPOST_CLUSTER_SCRIPT_H

extern const char cluster_script[];

#endif
