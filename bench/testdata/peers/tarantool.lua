-- Tarantool as a peer of the benchmarks: runs the programs that are posted to the port that is the first argument, each of which is
-- compiled once. Nothing but memory is used: no write-ahead log, no snapshots.
box.cfg{wal_mode = "none", checkpoint_interval = 0, memtx_memory = 256 * 1024 * 1024, log_level = "warn"}
box.schema.space.create("bench"):create_index("primary", {type = "hash", parts = {1, "string"}})

local programs = {}

local function run(source, n)
  local program = programs[source] or assert(loadstring(source))()
  programs[source] = program
  return program(n)
end

local function serve(connection)
  while true do
    local head = connection:read("\r\n\r\n")
    if not head or head == "" then
      return
    end
    local source = connection:read(tonumber(head:match("Content%-Length: (%d+)")))
    local ok, result = pcall(run, source, tonumber(head:match("n=(%d+)")))
    result = tostring(result or "")
    connection:write(("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s"):format(ok and "200 OK" or "500 Failed", #result, result))
  end
end

require("socket").tcp_server("127.0.0.1", tonumber(arg[1]), serve)
