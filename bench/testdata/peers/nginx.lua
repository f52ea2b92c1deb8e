-- Runs the programs that are posted to nginx, each of which is compiled once.
local M = {}
local programs = {}

-- tie ends a worker when its master ends, however that does: a killed one tells nobody.
function M.tie()
  local ffi = require("ffi")
  if ffi.os == "Linux" then
    ffi.cdef("int prctl(int option, unsigned long signal);")
    ffi.C.prctl(1, 9) -- PR_SET_PDEATHSIG, SIGKILL
  end
end

local function run()
  ngx.req.read_body()
  local source = ngx.req.get_body_data()
  local program = programs[source] or assert(loadstring(source))()
  programs[source] = program
  return program(tonumber(ngx.var.arg_n))
end

function M.answer()
  local ok, result = pcall(run)
  ngx.status = ok and 200 or 500
  ngx.print(tostring(result or ""))
end

return M
