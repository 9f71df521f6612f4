"""What people read: pages made from results, each one file without any outside resource."""
