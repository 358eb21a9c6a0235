-- What Quarto's Markdown has beyond Pandoc's: callouts, numbered figures and tables, links between sources.

local offset = PANDOC_WRITER_OPTIONS.number_sections and PANDOC_WRITER_OPTIONS.number_offset[1]
local chapter = offset and offset + 1 .. "." or "" -- its number, before those of its figures and tables
local counts = { fig = 0, tbl = 0 }
local names = { fig = "Figure", tbl = "Table" }

-- A figure or table with its number and caption.
local function float(div, kind)
  counts[kind] = counts[kind] + 1
  local number = chapter .. counts[kind]
  local caption, last = pandoc.Inlines(names[kind] .. "\u{a0}" .. number), div.content[#div.content]
  if last and last.t == "Para" then
    caption:insert(pandoc.Str(": "))
    caption:extend(div.content:remove().content)
  end
  local attributes = pandoc.Attr(div.identifier, { "float", kind }, { number = number })
  return pandoc.Figure(div.content, { pandoc.Plain(caption) }, attributes)
end

return {
  { Div = function(div)
      local kind = div.identifier:match("^(%l+)%-")
      if names[kind] then
        return float(div, kind)
      elseif table.concat(div.classes):match("callout") then -- its heading is no section
        div.classes:insert("callout")
        div.content = div.content:walk({ Header = function(h) return pandoc.Para({ pandoc.Strong(h.content) }) end })
        return div
      end
    end,
    Link = function(link)
      if not link.target:match("^%a+:") then
        link.target = link.target:gsub("%.ipynb%f[#\0]", ".html"):gsub("%.qmd%f[#\0]", ".html")
        return link
      end
    end },
}
